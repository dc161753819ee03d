"""What is measured of a codec beside `diveq-codec eval`: peers, conditions, speed, pictures."""
