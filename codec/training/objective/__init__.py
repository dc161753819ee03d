"""What training minimises: spectral losses, a distance in loudness, discriminators."""
