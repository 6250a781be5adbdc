"""Measurements of the local platform's parts. Each one has its floor in the same run: figures of a busy machine
mean something only beside it."""
