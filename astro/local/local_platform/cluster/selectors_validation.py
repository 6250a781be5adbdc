"""Label selectors inside objects: whether they are well-formed and what they match."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .causes import Cause, forbidden, invalid_value, required, unsupported
from .metadata_validation import label_causes
from .name_formats import label_value_errors, qualified_name_errors

_OPERATORS = ("DoesNotExist", "Exists", "In", "NotIn")


def selector_causes(selector: Mapping[str, Any], field: str) -> list[Cause]:
    causes = label_causes(f"{field}.matchLabels", selector.get("matchLabels"))
    for index, expression in enumerate(selector.get("matchExpressions") or ()):
        causes += _expression(expression, f"{field}.matchExpressions[{index}]")
    return causes


def _expression(expression: Mapping[str, Any], field: str) -> list[Cause]:
    operator, values = expression.get("operator"), expression.get("values") or []
    causes = []
    if operator in ("In", "NotIn"):
        if not values:
            causes.append(required(f"{field}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            causes.append(forbidden(f"{field}.values", detail))
    else:
        causes.append(unsupported(f"{field}.operator", operator, _OPERATORS))
    key = expression.get("key", "")
    causes += [invalid_value(f"{field}.key", key, one) for one in qualified_name_errors(key)]
    for index, value in enumerate(values):
        causes += [invalid_value(f"{field}.values[{index}]", value, one) for one in label_value_errors(value)]
    return causes


def selector_matches(selector: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
    """Whether the labels satisfy matchLabels and every matchExpression."""
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_satisfied(one, labels) for one in selector.get("matchExpressions") or ())


def _satisfied(expression: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
    key, values = expression["key"], expression.get("values") or []
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
    return key not in labels
