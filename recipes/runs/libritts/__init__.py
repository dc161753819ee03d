"""LibriTTS: from the official archives to a model and its scores on test-clean."""
