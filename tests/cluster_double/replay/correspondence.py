"""Which of the double's uids, versions and generated names stand for which of the recording's."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from .recordings import generated_tokens
from .scrubbing import Scrubber

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

# Beyond every version that a recording knows: asked for on purpose.
_FUTURE = 99_999_999


class Correspondence:
    """Learns from answers to the same request, and rewrites later requests."""

    def __init__(self, recorded_tokens: Mapping[str, str]) -> None:
        self.recorded_tokens = recorded_tokens
        self.actual_tokens: dict[str, str] = {}
        self._words: dict[str, str] = {}
        self._versions: dict[str, str] = {}
        self._list_versions: dict[str, str] = {}
        self._continues: dict[str, str] = {}
        self._taken: set[str] = set()

    def observe(self, actual: Any) -> None:
        self.actual_tokens.update(generated_tokens(actual))

    def learn(self, recorded: Any, actual: Any) -> None:
        """Pairs what the two answers say of the same objects."""
        self.observe(actual)
        self._walk(recorded, actual)

    def _walk(self, recorded: Any, actual: Any) -> None:
        if isinstance(recorded, Mapping) and isinstance(actual, Mapping):
            self._learn_list(recorded, actual)
            for key in recorded.keys() & actual.keys():
                self._pair(key, recorded[key], actual[key])
                self._walk(recorded[key], actual[key])
        elif isinstance(recorded, list) and isinstance(actual, list):
            for left, right in self._matched(recorded, actual):
                self._walk(left, right)

    def _learn_list(self, recorded: Mapping[str, Any], actual: Mapping[str, Any]) -> None:
        """Two lists show the same state, though not the same object need have been written last."""
        if not any(isinstance(recorded.get(name), list) for name in ("items", "rows")):
            return
        before, after = (side.get("metadata") or {} for side in (recorded, actual))
        if before.get("resourceVersion") and after.get("resourceVersion"):
            self._list_versions[before["resourceVersion"]] = after["resourceVersion"]

    def _pair(self, key: str, recorded: Any, actual: Any) -> None:
        if not (isinstance(recorded, str) and isinstance(actual, str)) or not recorded or not actual:
            return
        if key == "resourceVersion":
            self._versions[recorded] = actual
        elif key == "continue":
            self._continues[recorded] = actual
        elif (
            key == "clusterIP"
            or key == "uid"
            or key == "controller-uid"
            or key == "batch.kubernetes.io/controller-uid"
        ):
            self._words[recorded] = actual
        elif recorded in self.recorded_tokens and recorded not in self._words and actual not in self._taken:
            if self.actual_tokens.get(actual) != self.recorded_tokens[recorded]:
                return
            self._words[recorded] = actual
            self._taken.add(actual)

    def _matched(self, recorded: list[Any], actual: list[Any]) -> list[tuple[Any, Any]]:
        """Items of two lists that are the same thing: by known names first, then by equal content."""
        pairs: list[tuple[Any, Any]] = []
        left = sorted(recorded, key=lambda one: self._sort_key(one, self.recorded_tokens))
        open_items = sorted(actual, key=lambda one: self._sort_key(one, self.actual_tokens))
        waiting = []
        for item in left:
            name = _name(item)
            known = self._words.get(name, name)
            found = next((one for one in open_items if name and _name(one) == known), None)
            if found is None:
                waiting.append(item)
            else:
                open_items.remove(found)
                pairs.append((item, found))
        # What is leaving may be gone already: what stays chooses first.
        for item in sorted(waiting, key=_leaving):
            wanted = self._generic(_name(item), self.recorded_tokens)
            candidates = [
                one
                for one in open_items
                if self._generic(_name(one), self.actual_tokens) == wanted and _name(one) not in self._taken
            ]
            alike = [one for one in candidates if _leaving(one) == _leaving(item)]
            found = next(iter(alike or candidates), None)
            if found is not None:
                open_items.remove(found)
                pairs.append((item, found))
        return pairs

    def _generic(self, name: str, tokens: Mapping[str, str]) -> str:
        """A name without what was generated."""
        return tokens[name] if name in tokens else str(Scrubber(tokens).scrubbed(name))

    def _sort_key(self, item: Any, tokens: Mapping[str, str]) -> str:
        return json.dumps(Scrubber(tokens).scrubbed(item), sort_keys=True, default=str)

    def rewrite(self, text: str) -> str:
        """Recorded uids and generated names as the double knows them."""
        if not self._words:
            return text
        names = sorted((word for word in self._words if word in text), key=len, reverse=True)
        for name in names:
            text = text.replace(name, self._words[name])
        return text

    def unknown_words(self, text: str) -> list[str]:
        """Generated names in `text` for which nothing of the double is known yet."""
        return [word for word in self.recorded_tokens if word in text and word not in self._words]

    def list_version(self, recorded: str) -> str:
        """The double's version for a query that goes on from a list."""
        return self._list_versions.get(recorded) or self.version(recorded)

    def is_now(self, recorded: str, actual: str) -> None:
        """What the recorded client held was current: the double's current version stands for it."""
        self._versions[recorded] = actual

    def version(self, recorded: str) -> str:
        if recorded in self._versions or not recorded.isdigit() or not 1 < int(recorded) < _FUTURE:
            return self._versions.get(recorded, recorded)
        # A version of something that was not read: the newest known one before it.
        earlier = [one for one in self._versions if one.isdigit() and int(one) < int(recorded)]
        return self._versions[max(earlier, key=int)] if earlier else recorded

    def continue_token(self, recorded: str) -> str:
        return self._continues.get(recorded, recorded)

    def remember_continue(self, recorded: str, actual: str) -> None:
        self._continues[recorded] = actual

    def rewrite_body(self, body: Any) -> Any:
        """A request body with the double's uids, names and versions."""
        if isinstance(body, Mapping):
            if str(body.get("path", "")).endswith("/resourceVersion") and "op" in body:
                return {**body, "value": self.version(str(body.get("value")))}
            return {
                key: self.version(item)
                if key == "resourceVersion" and isinstance(item, str)
                else self.rewrite_body(item)
                for key, item in body.items()
            }
        if isinstance(body, list):
            return [self.rewrite_body(item) for item in body]
        return self.rewrite(body) if isinstance(body, str) else body


def _leaving(item: Any) -> bool:
    metadata = item.get("metadata") if isinstance(item, Mapping) else None
    return isinstance(metadata, Mapping) and bool(metadata.get("deletionTimestamp"))


def _name(item: Any) -> str:
    if not isinstance(item, Mapping):
        return ""
    metadata = item.get("metadata")
    if not isinstance(metadata, Mapping):
        obj = item.get("object")
        metadata = obj.get("metadata") if isinstance(obj, Mapping) else None
    if isinstance(metadata, Mapping):
        return str(metadata.get("name", ""))
    return str(item.get("name", ""))
