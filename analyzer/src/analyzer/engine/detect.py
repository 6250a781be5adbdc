"""The engine: finding secrets in content, and judging one value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache

from analyzer.engine import assignments
from analyzer.engine.assignments import Candidate
from analyzer.engine.checks import is_placeholder
from analyzer.engine.classifier import Classifier, packaged_classifier
from analyzer.engine.encodings import as_utf8
from analyzer.engine.features import vector
from analyzer.engine.file_types import extension_of
from analyzer.engine.filters import is_worth_judging, names_something_else
from analyzer.engine.locate import Locator, Match
from analyzer.engine.names import read_name
from analyzer.engine.privacy import Fingerprinter, redacted
from analyzer.engine.reasons import reasons_for
from analyzer.engine.rules import RULES_VERSION, TYPE_OF_KIND
from analyzer.engine.second_opinion import SecondOpinion
from analyzer.engine.verdict import Finding, Search, Verdict

__all__ = ["Engine", "Finding", "Search", "Verdict", "default_engine", "engine_with", "find", "judge"]

CERTAIN = 0.99
UNNAMED = 0.05
MINIFIED = 0.95
"""The threshold within lines so long that nobody wrote them: short names stand for anything there."""


class Engine:
    """Rules and classifier, compiled once for a process; may be used by several threads."""

    def __init__(
        self, classifier: Classifier, locator: Locator | None = None, opinion: SecondOpinion | None = None
    ) -> None:
        self.classifier = classifier
        self.locator = locator or Locator()
        self.opinion = opinion

    @property
    def model_version(self) -> str:
        """Names rules and model; cached verdicts of another version are worth nothing."""
        version = f"{RULES_VERSION}+{self.classifier.version}"
        return f"{version}+{self.opinion.version}" if self.opinion else version

    def search(
        self, content: bytes, path: str, fingerprint: Fingerprinter, commit: str | None = None,
        limit: int | None = None,
    ) -> Search:  # fmt: skip
        """The secrets in one file; `path` tells the file's type, and `limit` bounds the hits looked at."""
        content = as_utf8(content)
        located = self.locator.locate(content, path, limit)
        found = [_matched(path, fingerprint, commit, match) for match in located.matches]
        extension = extension_of(path)
        candidates = [each for each in located.candidates if not names_something_else(each)]
        probabilities = [self.probability(candidate, extension) for candidate in candidates]
        if self.opinion:
            probabilities = _with_opinion(self.opinion, candidates, extension, probabilities)
        for candidate, probability in zip(candidates, probabilities, strict=True):
            if probability >= (MINIFIED if candidate.is_minified else self.classifier.threshold):
                found.append(_judged(path, fingerprint, commit, candidate, probability))
        return Search(tuple(_with_lines(content, found)), located.complete)

    def probability(self, candidate: Candidate, extension: str) -> float:
        """The classifier's calibrated probability that a candidate is a secret."""
        return self.classifier.probability(vector(candidate, extension, self.classifier.bigrams))

    def judge(self, value: str, context: str, variable_name: str, fingerprint: Fingerprinter) -> Verdict:
        """Whether `value`, assigned to `variable_name` in `context`, is a secret."""
        # JSON can carry half of a surrogate pair, which UTF-8 proper cannot.
        raw = value.encode(errors="surrogatepass")
        for match in self.locator.matches(raw):
            rule = match.rule
            reasons = (f"it has the format of a {rule.secret_type}", rule.reason)
            return self._verdict(
                True,
                CERTAIN,
                rule.secret_type,
                rule.risk,
                reasons,
                redacted(raw, rule.prefixes),
                fingerprint(raw),
            )
        preview, print_ = redacted(raw), fingerprint(raw)
        if len(raw) < 3 or is_placeholder(raw):
            reason = "people write this where a secret will stand"
            return self._verdict(False, 0.02, "None", "low", (reason,), preview, print_)
        candidate = _given(raw, context.encode(errors="surrogatepass"), variable_name)
        # Of a value whose name says nothing, or that names something else, the classifier has learnt nothing.
        is_known = is_worth_judging(candidate, "") and not names_something_else(candidate)
        probability = self.probability(candidate, "") if is_known else UNNAMED
        if is_known and self.opinion:
            [probability] = _with_opinion(self.opinion, [candidate], "", [probability])
        is_secret = probability >= self.classifier.threshold
        secret_type = TYPE_OF_KIND[candidate.name.kind] if is_secret and candidate.name.kind else "None"
        risk = _risk(probability) if is_secret else "low"
        return self._verdict(
            is_secret,
            round(probability, 4),
            secret_type,
            risk,
            reasons_for(candidate, is_secret),
            preview,
            print_,
        )

    def _verdict(
        self,
        is_secret: bool,
        probability: float,
        secret_type: str,
        risk: str,
        reasons: tuple[str, ...],
        preview: str,
        print_: str,
    ) -> Verdict:
        return Verdict(
            is_secret, probability, secret_type, risk, reasons, preview, print_, self.model_version
        )


def _matched(path: str, fingerprint: Fingerprinter, commit: str | None, match: Match) -> Finding:
    rule, value = match.rule, match.value
    return Finding(
        path, 0, rule.id, rule.secret_type, rule.risk, redacted(value, rule.prefixes), fingerprint(value),
        commit, CERTAIN, (f"it has the format of a {rule.secret_type}", rule.reason), match.start, match.end,
    )  # fmt: skip


def _judged(
    path: str, fingerprint: Fingerprinter, commit: str | None, candidate: Candidate, probability: float
) -> Finding:
    kind = candidate.name.kind
    assert kind is not None
    return Finding(
        path, 0, f"generic-{kind}", TYPE_OF_KIND[kind], _risk(probability), redacted(candidate.value),
        fingerprint(candidate.value), commit, round(probability, 4), reasons_for(candidate, True),
        candidate.start, candidate.end,
    )  # fmt: skip


def _risk(probability: float) -> str:
    return "high" if probability >= 0.9 else "medium"


def _with_opinion(
    opinion: SecondOpinion, candidates: Sequence[Candidate], extension: str, probabilities: Sequence[float]
) -> list[float]:
    """For what is uncertain, the mean of the classifier's and the opinion's probability.

    An endpoint that gives none to one question is not asked another about the same content.
    """
    moved, questions = list(probabilities), opinion.most
    for number, probability in enumerate(probabilities):
        if questions and opinion.is_asked_about(probability):
            said = opinion.probability(candidates[number], extension)
            questions = 0 if said is None else questions - 1
            moved[number] = probability if said is None else (probability + said) / 2
    return moved


def _with_lines(content: bytes, found: list[Finding]) -> Iterator[Finding]:
    """The findings with their line numbers, counted once through the content."""
    line, position = 1, 0
    for finding in sorted(found, key=lambda each: (each.start, each.rule)):
        line += content.count(b"\n", position, finding.start)
        position = max(position, finding.start)
        yield replace(finding, line=line)


def _given(value: bytes, context: bytes, name: str) -> Candidate:
    """The candidate for a value that came with its line, or with words about it, or with nothing."""
    position = context.find(value)
    known = (
        read_name(name)
        if read_name(name).kind or not context
        else read_name(name + " " + context.decode(errors="replace")[:100])
    )
    if position < 0:
        before, after, quoted = name.encode(errors="replace")[-100:] + b' = "', b'"', True
    else:
        before, after = context[:position][-assignments.LOOK_BACK :], context[position + len(value) :]
        quoted = before[-1:] in (b'"', b"'", b"`") and bool(before)
    return Candidate(
        value,
        0,
        len(value),
        known,
        "=",
        quoted,
        before + value + after,
        before,
        after[: assignments.LOOK_AHEAD],
    )


@cache
def default_engine() -> Engine:
    """The engine of this process, with the packaged model."""
    return Engine(packaged_classifier())


def engine_with(opinion: SecondOpinion | None) -> Engine:
    """The engine of this process, with a second opinion where there is one."""
    engine = default_engine()
    return Engine(engine.classifier, engine.locator, opinion) if opinion else engine


def find(content: bytes, path: str, fingerprint: Fingerprinter, commit: str | None = None) -> list[Finding]:
    """The secrets in one file, in the order of their lines."""
    return list(default_engine().search(content, path, fingerprint, commit).findings)


def judge(value: str, context: str, variable_name: str, fingerprint: Fingerprinter) -> Verdict:
    """Whether `value`, assigned to `variable_name` in `context`, is a secret."""
    return default_engine().judge(value, context, variable_name, fingerprint)
