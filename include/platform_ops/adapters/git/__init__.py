"""The services' git repositories through the git command, one file a concern.

By attributes, filters, hooks and fsmonitor (https://git-scm.com/docs/gitattributes) a repository runs code on
the machine that reads it: our mirrors have none of them, and a tree is written out blob by blob.
"""

from .branches import GitBranches, Identity
from .mirrors import Mirrors
from .repositories import GitRepositories
from .signatures import GitSignatures
from .signers import listed_signers

__all__ = ["GitBranches", "GitRepositories", "GitSignatures", "Identity", "Mirrors", "listed_signers"]
