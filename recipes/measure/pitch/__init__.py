"""How well a model keeps the pitch of speech: of low and high voices, and of tones that tell words
apart.
"""
