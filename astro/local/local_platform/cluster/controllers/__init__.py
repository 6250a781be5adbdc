"""The controllers of the cluster double: clients of its API, level-triggered, each safe to kill at any
moment.
"""
