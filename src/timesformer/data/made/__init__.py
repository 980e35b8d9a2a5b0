"""Generated videos: the scenes that are drawn, and the data set of motions made of them."""
