"""Speed beside neural codecs, in batches too, and what a long file costs."""
