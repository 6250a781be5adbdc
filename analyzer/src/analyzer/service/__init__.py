"""The HTTP service around the engine."""
