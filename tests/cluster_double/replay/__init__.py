"""Replays the recorded requests of a real Kubernetes API server against the cluster double and compares."""
