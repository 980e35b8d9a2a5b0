"""Reading and writing weights of other formats: official, Hugging Face, MMAction2, timm, DeiT and JAX."""
