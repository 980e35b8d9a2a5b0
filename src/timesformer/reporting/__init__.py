"""What a report says of a run: how certain its numbers are, how far scores can be trusted, which videos say why."""
