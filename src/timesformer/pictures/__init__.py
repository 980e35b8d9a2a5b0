"""Values in, files out: charts, pages and lettering."""
