"""The formats of names, labels and keys, with the server's sentences (apimachinery `util/validation`)."""

from __future__ import annotations

import re
from typing import Any

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
_CONFIG_KEY = "[-._a-zA-Z0-9]+"
_PORT_NAME = "^[-a-z0-9]+$"


def _length(limit: int) -> str:
    return f"must be no more than {limit} bytes"


def label_errors(name: str) -> list[str]:
    """RFC 1123 label: containers, namespaces, volumes."""
    errors = [_length(63)] if len(name) > 63 else []
    if not re.fullmatch(_LABEL, name):
        errors.append(
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must "
            "start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for "
            f"validation is '{_LABEL}')"
        )
    return errors


def label_1035_errors(name: str) -> list[str]:
    """RFC 1035 label: services."""
    errors = [_length(63)] if len(name) > 63 else []
    if not re.fullmatch(_LABEL_1035, name):
        errors.append(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
            "alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', "
            f"regex used for validation is '{_LABEL_1035}')"
        )
    return errors


def subdomain_errors(name: str) -> list[str]:
    """RFC 1123 subdomain: most names."""
    errors = [_length(253)] if len(name) > 253 else []
    if not re.fullmatch(_SUBDOMAIN, name):
        errors.append(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
            "and must start and end with an alphanumeric character (e.g. 'example.com', regex used for "
            f"validation is '{_SUBDOMAIN}')"
        )
    return errors


def path_segment_errors(name: str) -> list[str]:
    """RBAC names: anything that can be one segment of a path."""
    if name in (".", ".."):
        return [f"may not be '{name}'"]
    return [f"may not contain '{mark}'" for mark in ("/", "%") if mark in name]


def qualified_name_errors(name: str) -> list[str]:
    """Keys of labels and annotations: `prefix/name`."""
    parts = name.split("/")
    errors = []
    if len(parts) > 2:
        return [_qualified_sentence()]
    if len(parts) == 2:
        prefix = parts[0]
        if not prefix:
            errors.append("prefix part must be non-empty")
        else:
            errors += [f"prefix part {one}" for one in subdomain_errors(prefix)]
    last = parts[-1]
    if not last:
        errors.append("name part must be non-empty")
    elif len(last) > 63:
        errors.append(f"name part {_length(63)}")
    if not re.fullmatch(_QUALIFIED, last):
        errors.append(f"name part {_qualified_pattern()}" if len(parts) <= 2 else _qualified_sentence())
    return errors


def _qualified_pattern() -> str:
    return (
        "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
        "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
        f"'{_QUALIFIED}')"
    )


def _qualified_sentence() -> str:
    return (
        "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end "
        "with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
        "validation is "
        f"'{_QUALIFIED}') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
    )


def label_value_errors(value: str) -> list[str]:
    errors = [_length(63)] if len(value) > 63 else []
    if not re.fullmatch(_LABEL_VALUE, value):
        errors.append(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
            "and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or "
            f"'12345', regex used for validation is '{_LABEL_VALUE}')"
        )
    return errors


def config_key_errors(key: str) -> list[str]:
    """Keys of ConfigMaps and Secrets."""
    errors = [_length(253)] if len(key) > 253 else []
    if not re.fullmatch(_CONFIG_KEY, key):
        errors.append(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  "
            f"or 'KEY_NAME',  or 'key-name', regex used for validation is '{_CONFIG_KEY}')"
        )
    if key == "." or key == ".." or key.startswith(".."):
        errors.append(f"must not be '{key}'" if key in (".", "..") else "must not start with '..'")
    return errors


def port_name_errors(name: str) -> list[str]:
    """IANA service names: named container ports and target ports."""
    errors = []
    if len(name) > 15:
        errors.append("must be no more than 15 bytes")
    if not re.fullmatch(_PORT_NAME, name):
        errors.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", name):
        errors.append("must contain at least one letter (a-z)")
    if "--" in name:
        errors.append("must not contain consecutive hyphens")
    if name.startswith("-") or name.endswith("-"):
        errors.append("must not begin or end with a hyphen")
    return errors


def environment_name_errors(name: str) -> list[str]:
    if re.fullmatch(r"[ -<>-~]+", name):
        return []
    return [
        "a valid environment variable name must consist only of printable ASCII characters other than '='"
    ]


def port_number_errors(port: Any) -> list[str]:
    if isinstance(port, int) and 1 <= port <= 65535:
        return []
    return ["must be between 1 and 65535, inclusive"]
