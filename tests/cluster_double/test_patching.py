"""The patch formats of the double, rule by rule."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_platform.cluster.patching import (
    REJECTED,
    PatchError,
    json_patch,
    merge_patch,
    strategic_merge_patch,
)
from local_platform.cluster.schema import Schema

DEPLOYMENT = Schema.for_kind(("apps", "v1", "Deployment"))


def deployment(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    pod = {"containers": list(containers), **spec}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": {"spec": pod}}}


def patched(obj: dict[str, Any], **pod: Any) -> dict[str, Any]:
    result = strategic_merge_patch(obj, {"spec": {"template": {"spec": pod}}}, DEPLOYMENT)
    spec: dict[str, Any] = result["spec"]["template"]["spec"]
    return spec


WEB = {"name": "web", "image": "web:1", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}
SIDE = {"name": "side", "image": "side:1"}


def test_strategic_merge_finds_list_items_by_their_merge_key() -> None:
    spec = patched(deployment(SIDE, WEB), containers=[{"name": "web", "env": [{"name": "B", "value": "3"}]}])
    by_name = {one["name"]: one for one in spec["containers"]}
    assert by_name["side"] == SIDE
    assert by_name["web"]["image"] == "web:1"
    assert {one["name"]: one["value"] for one in by_name["web"]["env"]} == {"A": "1", "B": "3"}


@pytest.mark.parametrize(
    ("patch", "names"),
    [
        pytest.param([{"name": "web", "$patch": "delete"}], ["side"], id="delete takes one item"),
        pytest.param([{"$patch": "replace"}, {"name": "new", "image": "n"}], ["new"], id="replace takes all"),
        pytest.param([{"name": "new", "image": "n"}], ["new", "side", "web"], id="new items come first"),
    ],
)
def test_strategic_merge_directives_on_lists(patch: list[dict[str, Any]], names: list[str]) -> None:
    assert [one["name"] for one in patched(deployment(SIDE, WEB), containers=patch)["containers"]] == names


def test_set_element_order_orders_items_that_the_patch_does_not_change() -> None:
    order = {"$setElementOrder/containers": [{"name": "web"}, {"name": "side"}]}
    assert [one["name"] for one in patched(deployment(SIDE, WEB), **order)["containers"]] == ["web", "side"]


def test_items_that_only_the_server_has_keep_their_place_between_ordered_ones() -> None:
    items = [{"name": name, "image": "i"} for name in ("a", "x", "b")]
    order = {"$setElementOrder/containers": [{"name": "a"}, {"name": "b"}]}
    assert [one["name"] for one in patched(deployment(*items), **order)["containers"]] == ["a", "x", "b"]


def test_retain_keys_drops_what_the_patch_does_not_name() -> None:
    obj = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert strategic_merge_patch(obj, patch, DEPLOYMENT)["spec"]["strategy"] == {"type": "Recreate"}


def test_delete_from_primitive_list_removes_values() -> None:
    obj = {"metadata": {"finalizers": ["a", "b", "c"]}}
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["b"]}}
    assert strategic_merge_patch(obj, patch, DEPLOYMENT)["metadata"]["finalizers"] == ["a", "c"]


def test_null_removes_a_field_and_is_never_stored() -> None:
    obj = {"metadata": {"labels": {"a": "1", "b": "2"}}}
    patch = {"metadata": {"labels": {"a": None, "c": None}, "annotations": {"x": None}}}
    assert strategic_merge_patch(obj, patch, DEPLOYMENT)["metadata"] == {
        "labels": {"b": "2"},
        "annotations": {},
    }


def test_strategic_merge_of_a_custom_kind_is_an_unsupported_media_type() -> None:
    with pytest.raises(PatchError) as refused:
        strategic_merge_patch({}, {"spec": {}}, None)
    assert (refused.value.status, refused.value.reason) == (415, "UnsupportedMediaType")


def test_merge_patch_replaces_lists_and_removes_nulls() -> None:
    assert merge_patch({"a": [1, 2], "b": {"c": 1, "d": 2}}, {"a": [3], "b": {"c": None}}) == {
        "a": [3],
        "b": {"d": 2},
    }


@pytest.mark.parametrize(
    ("patch", "kind"), [([], "array"), ("x", "string"), (1, "number"), (True, "bool")], ids=str
)
def test_a_merge_patch_that_is_no_object_is_a_bad_request_in_the_decoders_words(
    patch: Any, kind: str
) -> None:
    with pytest.raises(PatchError, match=f"cannot unmarshal {kind} into Go value of type map") as refused:
        merge_patch({}, patch)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("operations", "result"),
    [
        pytest.param(
            [{"op": "add", "path": "/l/-", "value": 3}], {"l": [1, 2, 3], "m": {"a/b": 1}}, id="append"
        ),
        pytest.param(
            [{"op": "add", "path": "/l/0", "value": 0}], {"l": [0, 1, 2], "m": {"a/b": 1}}, id="insert"
        ),
        pytest.param([{"op": "remove", "path": "/m/a~1b"}], {"l": [1, 2], "m": {}}, id="escaped slash"),
        pytest.param([{"op": "move", "from": "/l", "path": "/n"}], {"n": [1, 2], "m": {"a/b": 1}}, id="move"),
        pytest.param(
            [{"op": "copy", "from": "/l/1", "path": "/m/x"}],
            {"l": [1, 2], "m": {"a/b": 1, "x": 2}},
            id="copy",
        ),
    ],
)
def test_json_patch_operations(operations: list[dict[str, Any]], result: dict[str, Any]) -> None:
    assert json_patch({"l": [1, 2], "m": {"a/b": 1}}, operations) == result


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/a", "value": 2},
        {"op": "remove", "path": "/nope"},
        {"op": "replace", "path": "/nope", "value": 1},
        {"op": "add", "path": "/l/9", "value": 1},
        {"op": "add", "path": "a", "value": 1},
        {"op": "fly", "path": "/a"},
    ],
    ids=lambda one: f"{one['op']} {one['path']}",
)
def test_a_json_patch_that_cannot_be_applied_hides_why(operation: dict[str, Any]) -> None:
    with pytest.raises(PatchError) as refused:
        json_patch({"a": 1, "l": []}, [operation])
    assert (refused.value.status, refused.value.reason, refused.value.message) == (422, "Invalid", REJECTED)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=2), JSON, max_size=4)


@given(OBJECTS, OBJECTS)
def test_a_merge_patch_leaves_its_arguments_alone_and_twice_is_once(
    obj: dict[str, Any], patch: dict[str, Any]
) -> None:
    before = copy.deepcopy((obj, patch))
    once = merge_patch(obj, patch)
    assert (obj, patch) == before
    assert merge_patch(once, patch) == once
