"""Rules that find secrets and the checks that tell a real one from a look-alike. No I/O."""
