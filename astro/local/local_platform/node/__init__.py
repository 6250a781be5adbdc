"""The node of the local platform: a kubelet whose pods are processes."""
