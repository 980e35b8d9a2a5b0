"""Every folder, list and annotation file that is read into the one table of videos."""
