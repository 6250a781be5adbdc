"""Builds OCI images without Docker: Debian packages, hashed wheels and an application, one layer each."""
