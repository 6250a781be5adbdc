"""Whatever people change by hand: what the answer may never be. Cases one by one: test_handwork.py."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from fakes import MIDNIGHT
from hand_scenes import ROLLOUT
from hypothesis import given
from hypothesis import strategies as st
from rollout_scenes import PLAN, TARGET, V1, V2, V3

from platform_ops.core.drift import Deed, Outcome, Seen, Standing, Subject, Trace, answer, standing_of
from platform_ops.core.ports import ColourStatus, RouteState
from platform_ops.core.release import Colour, Router, Weights
from platform_ops.core.state import Phase, Rollout

BLUE, GREEN = Colour.BLUE, Colour.GREEN

statuses = st.one_of(
    st.just(ColourStatus(exists=False)),
    st.builds(
        ColourStatus,
        exists=st.just(True),
        digest=st.sampled_from([None, V1, V2, V3]),
        desired=st.integers(0, 3),
        ready=st.integers(0, 3),
    ),
)
weights = st.one_of(st.just(Weights()), st.integers(0, 100).map(lambda share: Weights(share, 100 - share)))
colours = st.sampled_from([None, BLUE, GREEN])
seen_things = st.builds(
    Seen,
    route=st.builds(RouteState, weights, st.integers(0, 9), st.sampled_from(["", "it is somebody else's"])),
    selected=colours,
    colours=st.fixed_dictionaries({BLUE: statuses, GREEN: statuses}),
    approved=st.frozensets(st.sampled_from([V1, V2])),
    namespace=st.booleans(),
    service=st.builds(Trace, st.text(max_size=3), st.sampled_from(["", "kubectl-patch"])),
)
rollouts = st.builds(
    replace,
    st.just(ROLLOUT),
    phase=st.sampled_from(list(Phase)),
    previous_digest=st.sampled_from([None, V1]),
    moved_at=st.sampled_from([None, MIDNIGHT]),
    target=st.sampled_from([TARGET, replace(TARGET, router=Router.SERVICE)]),
)


@given(rollouts, seen_things)
def test_traffic_goes_by_hand_only_where_it_may_be(rollout: Rollout, seen: Seen) -> None:
    standing = standing_of(rollout, (), MIDNIGHT)
    one = answer(standing, seen) if standing else None
    if standing is None or one is None:
        return
    assert one.happened
    assert one.todo
    if one.deed is Deed.ROUTE and one.outcome is Outcome.FOLLOWED:
        assert one.colour is not None
        assert seen.may_serve(one.colour, PLAN.replicas)
        assert not standing.under_way
    if one.deed is Deed.ROUTE and one.outcome is not Outcome.FOLLOWED:
        assert one.colour is standing.serving
    if one.deed is Deed.GO_BACK:
        assert one.colour is rollout.old
        assert seen.colours[rollout.old].digest in seen.approved
        assert rollout.moved


@given(rollouts, seen_things)
def test_a_rollout_under_way_keeps_its_weights_and_its_new_colour(rollout: Rollout, seen: Seen) -> None:
    standing = standing_of(rollout, (), MIDNIGHT)
    one = answer(standing, seen) if standing else None
    if standing is None or one is None or not standing.under_way:
        return
    if one.deed is Deed.ROUTE:
        assert rollout.phase is Phase.NEEDS_ATTENTION
        assert not seen.route.weights.routed
    if one.deed is Deed.APPLY:
        assert one.colour is rollout.old


@given(seen_things)
def test_going_back_is_left_alone(seen: Seen) -> None:
    rollout = replace(ROLLOUT, phase=Phase.ROLLING_BACK)
    assert standing_of(rollout, (), MIDNIGHT) is None


def test_the_old_colour_is_kept_until_its_window_is_over() -> None:
    warm = replace(ROLLOUT, phase=Phase.WARM)
    inside = standing_of(warm, (), MIDNIGHT + PLAN.warm - timedelta(seconds=1))
    after = standing_of(warm, (), MIDNIGHT + PLAN.warm)
    assert inside is not None
    assert after is not None
    assert inside.kept == {GREEN: V2, BLUE: V1}
    assert after.kept == {GREEN: V2}


def test_all_is_well_is_no_answer() -> None:
    standing = Standing(replace(ROLLOUT, phase=Phase.RECLAIMED), GREEN, {GREEN: V2})
    full = ColourStatus(True, V2, PLAN.replicas, PLAN.replicas)
    seen = Seen(
        route=RouteState(Weights(0, 100), 1),
        selected=GREEN,
        colours={GREEN: full, BLUE: ColourStatus(False)},
        approved=frozenset({V2}),
    )
    assert answer(standing, seen) is None
    bigger = replace(seen, colours={**seen.colours, GREEN: replace(full, desired=9, ready=9)})
    assert answer(standing, bigger) is None, "the autoscaler's doing, and nobody's hand"
    smaller = replace(seen, colours={**seen.colours, GREEN: replace(full, desired=0, ready=0)})
    scaled = answer(standing, smaller)
    assert scaled is not None
    assert (scaled.subject, scaled.deed) == (Subject.REPLICAS, Deed.SCALE)
