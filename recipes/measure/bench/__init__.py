"""How fast the codec is, beside its neural peers, and how its cost grows."""
