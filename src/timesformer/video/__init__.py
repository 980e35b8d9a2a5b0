"""From a video file to a tensor: which frames, which pixels, and the one module that knows the decoder."""
