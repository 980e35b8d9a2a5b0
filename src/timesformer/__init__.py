"""TimeSformer: space-time attention for video understanding."""
