"""How `make test` shares the tests between two workers."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

ON_ONE_PLATFORM = ("tests/dags", "tests/platform")
"""The longest ones. Each folder's tests share a running platform and rely on their order."""
ON_PLATFORMS_OF_THEIR_OWN = ("tests/platform/test_lifecycle.py", "tests/platform/test_interrupted_tests.py")


class TwoQueues(LoadScopeScheduling):
    """Each folder that needs a running platform goes to one worker as a whole, and they go first: both mostly
    wait. Of the rest, the tests of a file stay together.

    By path, since groups by mark (`--dist loadgroup`) write into a node id that pytest 9.2 no longer has.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        folder = file.rpartition("/")[0]
        return folder if folder in ON_ONE_PLATFORM and file not in ON_PLATFORMS_OF_THEIR_OWN else file

    def _assign_work_unit(self, node: WorkerController) -> None:
        for folder in ON_ONE_PLATFORM:
            if folder in self.workqueue:
                self.workqueue.move_to_end(folder, last=False)
        super()._assign_work_unit(node)
