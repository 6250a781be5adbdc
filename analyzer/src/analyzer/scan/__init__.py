"""The batch scanner: files on disk, the tree of a commit, its history."""
