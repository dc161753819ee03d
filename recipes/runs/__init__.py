"""Training runs: a folder of recordings, LibriTTS, VCTK."""
