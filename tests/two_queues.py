"""How `make test` shares the tests between two workers."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

ON_THE_PLATFORM = ("tests/platform/", "tests/dags/")
ON_PLATFORMS_OF_THEIR_OWN = ("tests/platform/test_lifecycle.py", "tests/platform/test_interrupted_tests.py")


class TwoQueues(LoadScopeScheduling):
    """All that needs the running platform goes to one worker, which starts it once and keeps the order that
    its tests rely on; of the rest, the tests of a file stay together.

    By path, since groups by mark (`--dist loadgroup`) write into a node id that pytest 9.2 no longer has.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        shares = file.startswith(ON_THE_PLATFORM) and file not in ON_PLATFORMS_OF_THEIR_OWN
        return "platform" if shares else file
