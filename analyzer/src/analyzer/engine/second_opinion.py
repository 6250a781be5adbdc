"""A second opinion on uncertain candidates by an endpoint of OpenAI's chat protocol; off unless configured.

What leaves the process is masked: letters become `a` or `A`, digits `9`, in the value and in every other
string or long word of its line. When the endpoint is late, away or unreadable, the verdict stands.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import logging
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from analyzer.engine.assignments import Candidate

log = logging.getLogger(__name__)

MAX_ANSWER = 65_536
MAX_TIMEOUT = 30
_VARIABLE = "ANALYZER_SECOND_OPINION"
_SECONDS = re.compile(r"[0-9]{1,4}(?:\.[0-9]{1,3})?")
_ASK = (
    "You judge whether a string in source code is a hard-coded secret. The string is masked: a and A stand "
    'for letters, 9 for digits. Answer with JSON only: {"probability": p}, p from 0 (none) to 1 (a secret).'
)
_UPPER, _DIGIT = re.compile(r"[A-Z]"), re.compile(r"[0-9]")
_LOWER = re.compile(r"[^\W\d_A-Z]")
# A string with its quotes, or a word that is long or has a digit: each may be a secret of its own.
_TO_MASK = re.compile(r"(?<=[\"'`])[^\"'`]*(?=[\"'`]|$)|\S{12,}|\S*\d\S*")


@dataclass(frozen=True)
class SecondOpinion:
    """Where to ask, and about what."""

    url: str
    """The endpoint's base, such as `http://127.0.0.1:8080/v1`."""
    model: str
    timeout: float = 2.0
    """Seconds for each step of a request: connecting, sending, each read."""
    api_key: str = field(default="", repr=False)
    uncertain: tuple[float, float] = (0.25, 0.9)
    """Candidates with a probability from the first to the second are asked about."""
    most: int = 20
    """Questions for one content."""

    def __post_init__(self) -> None:
        if urlsplit(self.url).scheme not in ("http", "https") or not urlsplit(self.url).hostname:
            raise ValueError("the address of the second opinion is no http or https address")

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> SecondOpinion | None:
        """As `ANALYZER_SECOND_OPINION_URL`, `_MODEL`, `_KEY` and `_TIMEOUT` (seconds) say; None without URL.

        Raises ValueError with a sentence for what cannot be used.
        """
        url, model = env.get(f"{_VARIABLE}_URL", ""), env.get(f"{_VARIABLE}_MODEL", "")
        if not url:
            return None
        if not model:
            raise ValueError(f"{_VARIABLE}_URL is set without {_VARIABLE}_MODEL: name the model to ask")
        text = env.get(f"{_VARIABLE}_TIMEOUT", "2")
        if not _SECONDS.fullmatch(text) or not 0 < float(text) <= MAX_TIMEOUT:
            raise ValueError(
                f"{_VARIABLE}_TIMEOUT: seconds above 0, at most {MAX_TIMEOUT}, are needed, got {text!r}"
            )
        try:
            return cls(url, model, float(text), env.get(f"{_VARIABLE}_KEY", ""))
        except ValueError as error:
            raise ValueError(f"{_VARIABLE}_URL: {error}") from None

    @property
    def version(self) -> str:
        """Names who is asked, as a part of the model's version: verdicts with another are others."""
        return "opinion-" + hashlib.sha256(f"{self.url}\n{self.model}".encode()).hexdigest()[:12]

    def is_asked_about(self, probability: float) -> bool:
        """Whether the classifier is uncertain enough."""
        return self.uncertain[0] <= probability <= self.uncertain[1]

    def probability(self, candidate: Candidate, extension: str) -> float | None:
        """The endpoint's probability; None when it gives none in time."""
        try:
            answer = self._post(self._question(candidate, extension))
            value = json.loads(answer["choices"][0]["message"]["content"])["probability"]
        except (OSError, http.client.HTTPException, ValueError, KeyError, IndexError, TypeError) as error:
            # Only the kind of the error: an answer may repeat what it was asked.
            log.warning("no second opinion: %s", type(error).__name__)
            return None
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return float(value) if is_number and 0 <= value <= 1 else None

    def _question(self, candidate: Candidate, extension: str) -> dict[str, Any]:
        shown = {
            "name": candidate.name.text[:100],
            "value": masked(candidate.value.decode(errors="replace")[:200]),
            "line": masked_line(candidate),
            "file_type": extension,
        }
        messages = [{"role": "system", "content": _ASK}, {"role": "user", "content": json.dumps(shown)}]
        return {"model": self.model, "messages": messages, "temperature": 0, "max_tokens": 20}

    def _post(self, question: dict[str, Any]) -> Any:
        address = urlsplit(self.url)
        assert address.hostname is not None
        connection: http.client.HTTPConnection
        if address.scheme == "https":
            context = ssl.create_default_context()
            connection = http.client.HTTPSConnection(
                address.hostname, address.port, timeout=self.timeout, context=context
            )
        else:
            connection = http.client.HTTPConnection(address.hostname, address.port, timeout=self.timeout)
        headers = {"Content-Type": "application/json"}
        if self.api_key:
            headers["Authorization"] = f"Bearer {self.api_key}"
        try:
            path = f"{address.path.rstrip('/')}/chat/completions"
            connection.request("POST", path, json.dumps(question), headers)
            response = connection.getresponse()
            if response.status != 200:
                raise ValueError(f"status {response.status}")
            return json.loads(response.read(MAX_ANSWER))
        finally:
            connection.close()


def masked(text: str) -> str:
    """The text with every letter and digit replaced by its class."""
    return _DIGIT.sub("9", _UPPER.sub("A", _LOWER.sub("a", text)))


def masked_line(candidate: Candidate) -> str:
    """The candidate's line: its value, every other string and every long word of it are masked."""
    before = candidate.before.decode(errors="replace")
    after = candidate.after.decode(errors="replace")[:100]
    value = masked(candidate.value.decode(errors="replace")[:200])
    return _masked_words(before) + value + _masked_words(after)


def _masked_words(text: str) -> str:
    return _TO_MASK.sub(lambda match: masked(match.group()), text)
