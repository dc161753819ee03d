"""What both backends agree on: configuration, presets, receptive field, transform. Knows no torch."""
