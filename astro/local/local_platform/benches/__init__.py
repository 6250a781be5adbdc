"""Measurements of the local platform's parts, each with its floor in the same run."""
