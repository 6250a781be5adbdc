"""Runs one gate on one commit in a pod of its own, and says in JSON what came out.

The tools run from outside the tree, with our configuration and on files that we list: nothing that stands in
the tree switches a gate off. Imports nothing of platform_ops.
"""
