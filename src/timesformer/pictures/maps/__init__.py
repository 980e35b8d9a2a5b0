"""Maps of points with classes: as a picture, and as a page whose points show a frame."""
