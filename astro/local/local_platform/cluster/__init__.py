"""A Kubernetes API server double for the local platform and the tests.

A development double in the sense of moto: it answers the paths the platform uses as Kubernetes 1.36
answers them, keeps what it acknowledged over a kill -9, and is neither a sandbox nor part of any
production path.
"""
