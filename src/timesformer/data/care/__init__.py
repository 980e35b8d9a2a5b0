"""Looking after data: scan it, prepare it, pack it into shards."""
