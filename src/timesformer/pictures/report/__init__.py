"""The page of a training's report: values in, one HTML file out."""
