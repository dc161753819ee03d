"""What training minimises: distances in spectrum, loudness and periodicity; discriminators."""
