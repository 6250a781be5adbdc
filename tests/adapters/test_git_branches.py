"""Branches that the service identity moves, on real repositories: never by force, never twice, never over
somebody's work."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from signed_git import PLATFORM_ADDRESS, SERVICE, SignedGit

from local_platform.layout import Layout
from local_platform.signing import Keys
from platform_ops.adapters.git import GitBranches, GitSignatures, Identity
from platform_ops.core.branching import may_advance, merge_parents
from platform_ops.core.errors import Conflict, PermanentError, Refused
from platform_ops.core.source import NewTag
from platform_ops.core.versions import Version

TAG = NewTag(
    "v0.1.0", "llm-service 0.1.0\n\n* # a line that git would take for a comment\n\nRelease: 0.1.0-x"
)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    made = Keys(tmp_path_factory.mktemp("keys"), Layout.from_environment())
    made.complete()
    return made


@pytest.fixture
def world(tmp_path: Path, keys: Keys) -> SignedGit:
    return SignedGit(tmp_path, keys).create()


async def release(world: SignedGit, commit: str, tag: NewTag | None = None) -> str:
    """As the promotion does it, without what the ledger adds."""
    branches = world.branches()
    state = await branches.state(SERVICE, "main", commit)
    assert merge_parents(state, commit) is not None
    return await branches.merge(SERVICE, "main", commit, "Release", expected=state.head, tag=tag)


async def test_a_branch_is_made_and_moves_forward(world: SignedGit) -> None:
    first, branches = world.commit("feat: one"), world.branches()
    state = await branches.state(SERVICE, "staging", first)
    assert may_advance(state, first, promoted=False)
    await branches.fast_forward(SERVICE, "staging", first, expected=state.head)
    second = world.commit("feat: two")
    state = await branches.state(SERVICE, "staging", second)
    assert (state.head, state.leads_here) == (first, True)
    await branches.fast_forward(SERVICE, "staging", second, expected=first)
    assert world.at("staging") == second
    assert not may_advance(await branches.state(SERVICE, "staging", second), second, promoted=False)


async def test_a_branch_that_somebody_pushed_to_is_left_alone(world: SignedGit) -> None:
    first = world.commit("feat: one")
    foreign = world.commit("feat: foreign", branch="staging", who="oncall")
    world.git("reset", "--quiet", "--hard", first)
    second = world.commit("feat: two")
    state = await world.branches().state(SERVICE, "staging", second)
    with pytest.raises(Refused, match=f"staging stands at {foreign[:8]}, which {second[:8]}"):
        may_advance(state, second, promoted=False)
    with pytest.raises(Conflict, match="pushed to meanwhile"):
        await world.branches().fast_forward(SERVICE, "staging", second, expected=foreign)
    assert world.at("staging") == foreign


async def test_what_lies_on_top_of_the_promoted_commit_is_foreign_unless_it_was_promoted(
    world: SignedGit,
) -> None:
    first = world.commit("feat: one")
    world.push(world.commit("feat: two"), "staging")
    state = await world.branches().state(SERVICE, "staging", first)
    assert not may_advance(state, first, promoted=True)
    with pytest.raises(Refused, match="somebody pushed to staging"):
        may_advance(state, first, promoted=False)


async def test_a_release_is_a_signed_merge_with_the_tree_that_was_built(world: SignedGit) -> None:
    first = world.commit("feat: one")
    begun = await release(world, first, TAG)
    second = world.commit("feat: two")
    merged = await release(world, second)
    assert world.at("main", "%H %P %ce %ae") == " ".join(
        [merged, begun, second, PLATFORM_ADDRESS, PLATFORM_ADDRESS]
    )
    assert world.at(begun, "%P") == first
    assert world.at(merged, "%T") == world.at(second, "%T")
    found, problems = await world.signatures().problems(
        SERVICE, merged, second, (await world.reading().history(SERVICE, merged, second))[0].at
    )
    assert (found, problems) == (2, ())
    (version,) = await world.branches().versions(SERVICE, "main")
    assert (version.version, version.commit) == (Version(0, 1, 0), begun)
    assert world.git("-C", str(world.bare), "tag", "--list", "--format=%(contents)").startswith(TAG.message)


async def test_a_run_again_after_the_push_finds_the_merge_and_makes_no_other(world: SignedGit) -> None:
    commit = world.commit("feat: one")
    merged = await release(world, commit, TAG)
    before = world.refs()
    state = await world.branches(state="another-machine").state(SERVICE, "main", commit)
    assert merge_parents(state, commit) is None
    assert state.last is not None
    assert (state.last.id, state.last.released) == (merged, commit)
    assert world.refs() == before


async def test_killed_before_the_push_leaves_nothing_that_the_next_run_trips_over(world: SignedGit) -> None:
    """The tag is in the mirror only, as a crash between signing and pushing leaves it."""
    commit, branches = world.commit("feat: one"), world.branches()
    hook = world.bare / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'main is protected' >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(Refused, match="may the service identity push there"):
        await branches.merge(SERVICE, "main", commit, "Release", expected=None, tag=TAG)
    assert "refs/heads/main" not in world.refs()
    hook.unlink()
    await branches.merge(SERVICE, "main", commit, "Release", expected=None, tag=TAG)
    assert len(await branches.versions(SERVICE, "main")) == 1


async def test_two_at_once_make_one_release(world: SignedGit) -> None:
    commit = world.commit("feat: one")
    workers = [world.branches(state=f"machine-{number}") for number in range(2)]
    asked = (one.merge(SERVICE, "main", commit, "Release", expected=None, tag=TAG) for one in workers)
    done = await asyncio.gather(*asked, return_exceptions=True)
    assert sorted(type(one) for one in done if not isinstance(one, str)) in ([], [Conflict])
    assert world.at("main", "%P") == commit
    assert world.at("main") in done


async def test_a_main_that_moved_between_the_look_and_the_push_is_looked_at_again(world: SignedGit) -> None:
    first = world.commit("feat: one")
    begun = await release(world, first)
    second = world.commit("feat: two")
    await release(world, second)
    with pytest.raises(Conflict, match=f"main moved from {begun[:8]}"):
        await world.branches().merge(SERVICE, "main", second, "Release", expected=begun)


async def test_a_main_that_somebody_else_pushed_to_is_refused_by_name(world: SignedGit) -> None:
    first = world.commit("feat: one")
    await release(world, first)
    world.git("fetch", "--quiet", "origin")
    world.git("checkout", "--quiet", "origin/main")
    foreign = world.commit("fix: by hand", branch="main", who="oncall")
    world.git("checkout", "--quiet", "development")
    second = world.commit("feat: two")
    state = await world.branches().state(SERVICE, "main", second)
    with pytest.raises(
        Refused, match=rf"diverged: it holds {foreign[:8]} \(oncall@example.com: 'fix: by hand'\)"
    ):
        merge_parents(state, second)
    world.git("merge", "--quiet", "--no-edit", foreign)
    third = world.commit("feat: three")
    merged = await release(world, third)
    assert world.at(merged, "%P") == f"{foreign} {third}"


@pytest.mark.parametrize("who", ["developer", "platform-ops"])
async def test_only_the_services_own_key_makes_a_release_commit(world: SignedGit, who: str) -> None:
    """A merge in its name by anybody else is a stranger; so is one of its own that has another tree."""
    first = world.commit("feat: one")
    await release(world, first)
    world.git("fetch", "--quiet", "origin")
    world.git("checkout", "--quiet", "origin/main")
    name = {f"GIT_{role}_EMAIL": PLATFORM_ADDRESS for role in ("AUTHOR", "COMMITTER")}
    forged = world.commit("Release", branch="main", who=who, **name)
    world.git("checkout", "--quiet", "development")
    state = await world.branches().state(SERVICE, "main", world.commit("feat: two"))
    assert [one.id for one in state.strangers] == [forged]


async def test_what_was_released_stays_when_the_next_release_does_not_come_from_it(world: SignedGit) -> None:
    base = world.commit("feat: base")
    hotfix = world.commit("fix: urgent", branch="hotfix")
    await release(world, hotfix)
    world.git("reset", "--quiet", "--hard", base)
    other = world.commit("feat: other")
    state = await world.branches().state(SERVICE, "main", other)
    with pytest.raises(Refused, match=f"has released {hotfix[:8]}, which {other[:8]} does not come from"):
        merge_parents(state, other)


async def test_an_older_release_changes_nothing_in_main(world: SignedGit) -> None:
    first = world.commit("feat: one")
    await release(world, first)
    second = world.commit("feat: two")
    await release(world, second)
    assert merge_parents(await world.branches().state(SERVICE, "main", first), first) is None


async def test_versions_that_nobody_listed_signed_do_not_count(world: SignedGit) -> None:
    merged = await release(world, world.commit("feat: one"), TAG)
    world.git("fetch", "--quiet", "--tags", "origin")
    world.git("tag", "--no-sign", "--annotate", "--message", "unsigned", "v9.0.0", merged)
    world.git("update-ref", "refs/tags/v8.0.0", merged)
    world.git("update-ref", "refs/tags/v7.0.0", "refs/tags/v0.1.0")
    world.git("tag", "--sign", "--message", "by a person", "v0.3.0", merged)
    world.git("push", "--quiet", "--tags", "origin")
    found = await world.branches().versions(SERVICE, "main")
    assert [str(one.version) for one in found] == ["0.3.0", "0.1.0"]


async def test_a_hotfix_is_merged_back_with_both_sides(world: SignedGit) -> None:
    base = world.commit("feat: base")
    hotfix = world.commit("fix: urgent", branch="hotfix")
    world.git("reset", "--quiet", "--hard", base)
    head = world.commit("feat: other")
    merged = await world.branches().merge(
        SERVICE, "development", hotfix, "Merge the hotfix", expected=head, combine=True
    )
    assert world.at("development", "%H %P") == f"{merged} {head} {hotfix}"
    world.git("pull", "--quiet", "--ff-only", "origin", "development")
    assert {"fixurgent", "featother", "featbase"} <= {path.name for path in world.tree.iterdir()}


async def test_a_merge_that_conflicts_names_the_file_and_pushes_nothing(world: SignedGit) -> None:
    base = world.commit("feat: base")
    (world.tree / "shared").write_text("of the hotfix")
    hotfix = world.commit("fix: urgent", branch="hotfix")
    world.git("reset", "--quiet", "--hard", base)
    (world.tree / "shared").write_text("of development")
    head = world.commit("feat: other")
    with pytest.raises(Refused, match=r"shared.*by hand"):
        await world.branches().merge(SERVICE, "development", hotfix, "x", expected=head, combine=True)
    assert world.at("development") == head


async def test_a_key_that_nobody_could_verify_signs_nothing(world: SignedGit) -> None:
    commit = world.commit("feat: one")
    with pytest.raises(PermanentError, match="not listed for platform-ops@"):
        await world.branches(key=world.keys.key("oncall")).merge(SERVICE, "main", commit, "x", expected=None)
    with pytest.raises(PermanentError, match="cannot be read"):
        await world.branches(key=world.folder / "none").merge(SERVICE, "main", commit, "x", expected=None)
    nobody = GitBranches(
        world.mirrors(), GitSignatures(world.mirrors(), ()), Identity("x", PLATFORM_ADDRESS, None)
    )
    with pytest.raises(PermanentError, match="PLATFORM_OPS_SIGNING_KEY is not set"):
        await nobody.merge(SERVICE, "main", commit, "x", expected=None)
    assert "refs/heads/main" not in world.refs()
