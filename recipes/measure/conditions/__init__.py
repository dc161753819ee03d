"""How quality holds up when speech is quiet, loud, noisy, reverberant or not alone, and what
becomes of music.
"""
