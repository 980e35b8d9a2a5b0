"""Image transformers, read exactly or refused with the reason."""
