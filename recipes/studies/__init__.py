"""Studies whose results stand beside them."""
