"""From a value to its verdict: arm of the experiment, cache, worker thread, counts."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from analyzer.engine.detect import Verdict
from analyzer.engine.privacy import Fingerprinter
from analyzer.service.detection import Detector, LocatedFindings, Provisional
from analyzer.service.metrics import Metrics
from analyzer.service.registry import Assignment, Registry
from analyzer.service.statistics import Recorder
from analyzer.service.workers import Workers
from analyzer.storage.ports import VerdictCache


@dataclass(frozen=True)
class Question:
    """One value and where it stands."""

    value: str
    context: str
    name: str


class Judging:
    """Judges values and texts; raises `PoolFull` when too much waits for a thread."""

    def __init__(
        self,
        detector: Detector,
        fingerprint: Fingerprinter,
        registry: Registry,
        cache: VerdictCache,
        workers: Workers,
        recorder: Recorder,
        metrics: Metrics,
    ) -> None:
        self._detector = detector
        self._fingerprint = fingerprint
        self._registry = registry
        self._cache = cache
        self._workers = workers
        self._recorder = recorder
        self._metrics = metrics

    async def judge(self, questions: Sequence[Question]) -> list[Verdict]:
        """One verdict a question, in their order."""
        begin = time.perf_counter()
        asked = [(question, self._assign(question)) for question in questions]
        verdicts = await self._remembered(asked)
        missing = [number for number, verdict in enumerate(verdicts) if verdict is None]
        self._metrics.cache_hits.inc(len(asked) - len(missing))
        self._metrics.cache_misses.inc(len(missing))
        if missing:
            wanted = [asked[number] for number in missing]
            fresh = await self._workers.run(lambda: [self._ask(*each) for each in wanted])
            for number, verdict in zip(missing, fresh, strict=True):
                verdicts[number] = verdict
            await self._remember(wanted, fresh)
        judged = [verdict for verdict in verdicts if verdict is not None]
        seconds = (time.perf_counter() - begin) / max(len(judged), 1)
        for (_, assignment), verdict in zip(asked, judged, strict=True):
            self._record(assignment, verdict, seconds)
        return judged

    async def locate(self, text: str) -> LocatedFindings:
        """The secrets in a text. Not cached: a text is seen once."""
        found = await self._workers.run(lambda: self._detector.locate(text))
        for finding in found.findings:
            self._metrics.detected.labels(finding.risk_level, finding.secret_type).inc()
        return found

    def _assign(self, question: Question) -> Assignment:
        return self._registry.assign(self._fingerprint(question.value.encode(errors="surrogatepass")))

    def _ask(self, question: Question, assignment: Assignment) -> Verdict:
        verdict = self._detector.judge(question.value, question.context, question.name)
        if assignment.calibrator is not None:
            verdict = assignment.calibrator.apply(verdict, question.value, question.context, question.name)
        return replace(verdict, model_version=assignment.version)

    def _record(self, assignment: Assignment, verdict: Verdict, seconds: float) -> None:
        self._metrics.analysis_duration.labels(verdict.secret_type).observe(seconds)
        if verdict.is_secret:
            self._metrics.detected.labels(verdict.risk_level, verdict.secret_type).inc()
        self._recorder.count(assignment, verdict)

    async def _remembered(self, asked: Sequence[tuple[Question, Assignment]]) -> list[Verdict | None]:
        found: list[Verdict | None] = [None] * len(asked)
        for version, numbers in _by_version(asked).items():
            keys = [self._cache_key(asked[number][0]) for number in numbers]
            entries = await self._cache.get_many(version, keys)
            for number, entry in zip(numbers, entries, strict=True):
                found[number] = _parsed(entry) if entry is not None else None
        return found

    async def _remember(
        self, asked: Sequence[tuple[Question, Assignment]], verdicts: Sequence[Verdict]
    ) -> None:
        for version, numbers in _by_version(asked).items():
            entries = {
                self._cache_key(asked[number][0]): json.dumps(asdict(verdicts[number])).encode()
                for number in numbers
                if not isinstance(verdicts[number], Provisional)
            }
            await self._cache.put_many(version, entries)

    def _cache_key(self, question: Question) -> str:
        """Keyed digests of the value and of where it stands: neither can be guessed from the key."""
        value = question.value.encode(errors="surrogatepass")
        around = f"{len(question.context)}:{question.context}{question.name}".encode(errors="surrogatepass")
        place = hmac.new(self._fingerprint.key, b"context" + around, hashlib.sha256).hexdigest()[:32]
        return f"{self._fingerprint(value)}:{place}"


def _by_version(asked: Sequence[tuple[Question, Assignment]]) -> dict[str, list[int]]:
    numbers: dict[str, list[int]] = {}
    for number, (_, assignment) in enumerate(asked):
        numbers.setdefault(assignment.version, []).append(number)
    return numbers


def _parsed(entry: bytes) -> Verdict | None:
    """The verdict of a cache entry; None for what is no verdict of ours."""
    try:
        fields = json.loads(entry)
        return Verdict(**fields | {"reasons": tuple(fields["reasons"])})
    except (ValueError, TypeError, KeyError):
        return None
