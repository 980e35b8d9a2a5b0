"""Looking after data: scanning, preparing, shards, look-alikes."""
