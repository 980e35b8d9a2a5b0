"""From a video file to a tensor: sampling frames, decoding them, and transforming their pixels."""
