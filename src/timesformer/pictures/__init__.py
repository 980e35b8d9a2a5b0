"""Values in, files out: charts, HTML pages, strips of frames, and the palette that all of them share."""
