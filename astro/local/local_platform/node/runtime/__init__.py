"""What runs beside a container: the shim that starts it and the helper that enters it. Standard library
only.
"""
