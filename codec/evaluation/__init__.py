"""How good coded speech is, and what it costs: clips, scores, means with intervals, in one file."""
