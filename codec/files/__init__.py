"""Files written whole or not at all, and dataclasses stored as JSON."""
