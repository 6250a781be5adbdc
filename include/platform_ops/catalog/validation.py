"""A parsed file against its model, with what is wrong in our words and where it was written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import ValidationError

from .fields import Model
from .names import nearest, unknown
from .schema import keys_at
from .source import KeyPath, Problem, Source, dotted

M = TypeVar("M", bound=Model)
_IN_OUR_WORDS = {
    "model_type": "must be a mapping of the keys in docs/reference/catalog.md",
    "dict_type": "must be a mapping",
    "tuple_type": "must be a list",
    "too_short": "must not be empty",
    "string_too_short": "must not be empty",
    "union_tag_not_found": "needs a kind: direct, blue_green_switch or gradual",
}


def validated(model: type[M], parsed: Source) -> tuple[M | None, list[Problem]]:
    """The model's value, or every problem of the file."""
    try:
        return model.model_validate(parsed.data), []
    except ValidationError as invalid:
        return None, [_problem(model, parsed, error) for error in invalid.errors(include_url=False)]


def _problem(model: type[Model], parsed: Source, error: Mapping[str, Any]) -> Problem:
    path = parsed.existing(error["loc"])
    text = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        text = unknown("key", str(path[-1]), keys_at(error["loc"][:-1], model))
    elif error["type"] == "missing":
        text = "is required" + _misspelt(model, parsed, path, error["loc"])
    elif error["type"] == "union_tag_invalid":
        tag, expected = error["ctx"]["tag"], error["ctx"]["expected_tags"].replace("'", "").split(", ")
        text = unknown("kind", str(tag), expected)
    elif error["type"] == "literal_error":
        valid = [name.strip("'") for name in re.split(", | or ", error["ctx"]["expected"])]
        text = unknown(str(path[-1]), str(error["input"]), valid)
    elif error["type"] in _IN_OUR_WORDS:
        text = _IN_OUR_WORDS[error["type"]]
    elif error["type"] != "value_error" and not isinstance(error.get("input"), Mapping | list | None):
        text = f"{text[0].lower()}{text[1:]}, not {error['input']!r}"
    return Problem(parsed.line(path), dotted(path), text)


def _misspelt(model: type[Model], parsed: Source, path: KeyPath, loc: Sequence[Any]) -> str:
    node = parsed.data
    for key in path[:-1]:
        node = node[key]
    known = keys_at(loc[:-1], model)
    near = nearest(str(path[-1]), [key for key in node if key not in known])
    return f"; {near!r} looks like it" if near else ""
