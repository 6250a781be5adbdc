"""`ops`: the desk at a terminal."""
