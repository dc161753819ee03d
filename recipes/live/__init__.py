"""The codec in a call: both ends in one process, and what losses on the way cost, beside Opus."""
