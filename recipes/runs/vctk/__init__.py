"""VCTK: one codebook in the setting of the DiVeQ paper, to compare quantizers."""
