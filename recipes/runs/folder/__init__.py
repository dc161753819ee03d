"""Train a codec on any folder of speech."""
