"""Other codecs over the same clips, with the same metrics, in one run."""
