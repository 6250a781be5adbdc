"""Server-side apply and managedFields of the double, rule by rule."""

from __future__ import annotations

from typing import Any

import pytest

from local_platform.cluster.apply import ApplyConflict, server_side_apply
from local_platform.cluster.field_sets import from_fields_v1, to_fields_v1
from local_platform.cluster.managed_fields import same_but_for_times, track
from local_platform.cluster.patching import PatchError
from local_platform.cluster.schema import Schema

CONFIG_MAP = Schema.for_kind(("", "v1", "ConfigMap"))
DEPLOYMENT = Schema.for_kind(("apps", "v1", "Deployment"))
EARLY, LATE = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"


def config_map(**data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "c", "namespace": "n"},
        "data": data,
    }


def applied(
    live: dict[str, Any] | None, obj: dict[str, Any], manager: str, *, force: bool = False, now: str = EARLY
) -> dict[str, Any]:
    schema = Schema.for_object(obj)
    return server_side_apply(live, obj, manager=manager, force=force, now=now, schema=schema)


def owners(obj: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["manager"]: one["fieldsV1"] for one in obj["metadata"]["managedFields"]}


def test_two_managers_may_own_different_keys() -> None:
    live = applied(applied(None, config_map(a="1"), "one"), config_map(b="2"), "two")
    assert live["data"] == {"a": "1", "b": "2"}
    assert owners(live) == {"one": {"f:data": {"f:a": {}}}, "two": {"f:data": {"f:b": {}}}}


def test_the_same_value_may_have_two_owners() -> None:
    live = applied(applied(None, config_map(a="1"), "one"), config_map(a="1"), "two")
    assert owners(live)["one"] == owners(live)["two"] == {"f:data": {"f:a": {}}}


def test_a_changed_value_of_another_manager_is_a_conflict_that_names_it() -> None:
    live = applied(None, config_map(a="1"), "one")
    with pytest.raises(ApplyConflict) as refused:
        applied(live, config_map(a="2"), "two")
    assert refused.value.message == 'Apply failed with 1 conflict: conflict with "one": .data.a'
    (cause,) = refused.value.causes
    assert (cause.reason, cause.field) == ("FieldManagerConflict", ".data.a")


def test_force_takes_the_field_over() -> None:
    live = applied(applied(None, config_map(a="1"), "one"), config_map(a="2"), "two", force=True)
    assert live["data"] == {"a": "2"}
    assert list(owners(live)) == ["two"]


def test_a_field_that_is_no_longer_applied_goes_unless_another_manager_owns_it() -> None:
    live = applied(None, config_map(mine="1", shared="1"), "one")
    live = applied(live, config_map(shared="1"), "two")
    assert applied(live, config_map(other="1"), "one")["data"] == {"shared": "1", "other": "1"}


def test_an_apply_that_changes_nothing_returns_the_live_object_with_its_times() -> None:
    live = applied(None, config_map(a="1"), "one")
    assert applied(live, config_map(a="1"), "one", now=LATE) == live


def test_a_field_that_an_update_set_is_removed_by_nobody_elses_apply() -> None:
    live = applied(None, config_map(a="1"), "one")
    changed = {**live, "data": {"a": "1", "u": "1"}}
    changed["metadata"] = {
        **live["metadata"],
        "managedFields": track(live, changed, manager="editor", now=LATE, schema=CONFIG_MAP),
    }
    assert applied(changed, config_map(b="1"), "one")["data"] == {"u": "1", "b": "1"}


def test_an_undeclared_field_is_named_with_its_path() -> None:
    obj = {**config_map(a="1"), "spec": {"replicaz": 1}}
    with pytest.raises(
        PatchError, match=r"\(n/c; /v1, Kind=ConfigMap\): \.spec: field not declared in schema"
    ):
        applied(None, obj, "one")


def deployment(*containers: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d", "namespace": "n"},
        "spec": {"template": {"spec": {"containers": list(containers)}}},
    }


def test_keyed_lists_merge_by_key_and_paths_name_the_key() -> None:
    live = applied(None, deployment({"name": "a", "image": "1"}, {"name": "b", "image": "1"}), "one")
    with pytest.raises(ApplyConflict, match=r'\.spec\.template\.spec\.containers\[name="b"\]\.image'):
        applied(live, deployment({"name": "b", "image": "2"}), "two")
    live = applied(live, deployment({"name": "c", "image": "1"}), "two")
    assert [one["name"] for one in live["spec"]["template"]["spec"]["containers"]] == ["a", "b", "c"]


def test_an_update_takes_changed_fields_from_their_owner_and_moves_only_its_own_time() -> None:
    live = applied(None, config_map(a="1", b="1"), "one")
    changed = {**live, "data": {"a": "2", "b": "1"}}
    entries = {
        one["manager"]: one for one in track(live, changed, manager="two", now=LATE, schema=CONFIG_MAP)
    }
    assert entries["one"]["fieldsV1"] == {"f:data": {"f:b": {}}}
    assert entries["one"]["time"] == EARLY
    assert entries["two"]["fieldsV1"] == {"f:data": {"f:a": {}}}
    assert entries["two"]["time"] == LATE


def test_a_created_pointer_struct_is_owned_itself_and_a_struct_by_value_is_not() -> None:
    obj = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}}
    obj["spec"] = {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}
    (entry,) = track(None, obj, manager="one", now=EARLY, schema=DEPLOYMENT)
    strategy = entry["fieldsV1"]["f:spec"]["f:strategy"]
    assert strategy == {"f:rollingUpdate": {".": {}, "f:maxSurge": {}}, "f:type": {}}


def test_more_than_ten_updaters_are_folded_into_ancient_changes() -> None:
    live: dict[str, Any] = config_map()
    live["metadata"]["managedFields"] = track(
        None, config_map(k="0"), manager="m", now="2026-01-01T00:00:00Z", schema=CONFIG_MAP
    )
    for number in range(12):
        changed = {**live, "data": {**live["data"], f"k{number}": "1"}}
        now = f"2026-01-02T00:00:{number:02}Z"
        entries = track(live, changed, manager=f"m{number}", now=now, schema=CONFIG_MAP)
        live = {**changed, "metadata": {**live["metadata"], "managedFields": entries}}
    names = [one["manager"] for one in live["metadata"]["managedFields"]]
    assert len(names) == 10
    assert "ancient-changes" in names


def test_only_times_differing_is_no_change() -> None:
    early, late = (applied(None, config_map(a="1"), "one", now=now) for now in (EARLY, LATE))
    assert same_but_for_times(early, late)
    assert not same_but_for_times(early, applied(None, config_map(a="2"), "one"))


def test_field_sets_survive_their_wire_form() -> None:
    wire = {"f:a": {".": {}, "f:b": {}, 'k:{"name":"x"}': {".": {}, "f:image": {}}}, "f:c": {}}
    assert to_fields_v1(from_fields_v1(wire)) == wire
