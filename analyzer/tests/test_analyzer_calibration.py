"""A calibrator learns from honest rows, refuses hostile ones, and is read with distrust."""

from __future__ import annotations

import json
import random
import string
import subprocess
import sys
from collections.abc import Callable

import analyzer_shapes as shapes
import pytest

from analyzer.calibration.features import NAMES
from analyzer.calibration.fit import NotBetter, fit
from analyzer.calibration.model import Calibrator, ModelError, digest, load
from analyzer.calibration.rows import Example, HostileRows, LabelledRow, examine
from analyzer.engine.detect import Verdict, judge
from analyzer.engine.privacy import Fingerprinter

BASE = "engine-1"
FINGERPRINT = Fingerprinter(b"k")


def engine(value: str, context: str, name: str) -> Verdict:
    return judge(value, context, name, FINGERPRINT)


def honest_rows(count: int = 200, seed: int = 1) -> list[LabelledRow]:
    """Keys and words, under names that say secret and names that do not: the engine is right on half."""
    draw = random.Random(seed)
    rows = []
    for _ in range(count // 4):
        for context, name in (
            ("client of the billing system", "billing_id"),
            ("the database", "db_password"),
        ):
            key = "".join(draw.choices(string.ascii_letters + string.digits, k=32))
            rows.append(LabelledRow(key, context, name, is_secret=True))
        for context, name in (("name of the token store", "token_store"), ("place of the rack", "rack")):
            words = "-".join(draw.choices(["north", "south", "blue", "green", "large", "cluster"], k=6))
            rows.append(LabelledRow(words, context, name, is_secret=False))
    return rows


def a_model() -> dict[str, object]:
    return fit(examine(honest_rows(), engine), BASE).document()


def test_it_learns_what_the_engine_did_not_know() -> None:
    calibrator = fit(examine(honest_rows(), engine), BASE)
    assert calibrator.trained["log_loss"] < calibrator.trained["log_loss_engine"] / 2
    unseen = honest_rows(60, seed=2)
    right = [
        calibrator.apply(engine(r.value, r.context, r.name), r.value, r.context, r.name).is_secret
        is r.is_secret
        for r in unseen
    ]
    without = [engine(r.value, r.context, r.name).is_secret is r.is_secret for r in unseen]
    assert sum(right) > 0.95 * len(unseen) > sum(without)


def test_the_same_rows_in_any_order_make_the_same_model() -> None:
    rows = honest_rows()
    shuffled = random.Random(3).sample(rows, len(rows))
    models = [fit(examine(each, engine), BASE) for each in (rows, rows, shuffled)]
    assert digest(models[0].document()) == digest(models[1].document())
    assert models[2].weights == pytest.approx(models[0].weights, abs=1e-5)


def test_no_value_is_in_a_model() -> None:
    rows = honest_rows()
    text = json.dumps(fit(examine(rows, engine), BASE).document())
    assert not [row for row in rows if row.value in text]


def test_what_is_proven_is_not_moved() -> None:
    calibrator = load(a_model(), BASE)
    token = shapes.with_checksum("ghp")
    for value in (token, "changeme"):
        verdict = engine(value, "", "password")
        assert calibrator.apply(verdict, value, "", "password") == verdict


def test_a_moved_verdict_says_so_and_stays_consistent() -> None:
    calibrator = load(a_model(), BASE)
    row = honest_rows(4, seed=9)[0]
    verdict = calibrator.apply(engine(row.value, row.context, row.name), row.value, row.context, row.name)
    assert (verdict.is_secret, verdict.secret_type, verdict.risk_level) == (True, "Generic Secret", "medium")
    assert "labelled" in verdict.reasons[-1]
    assert row.value not in repr(verdict)


def flipped(rows: list[LabelledRow], which: Callable[[int], bool]) -> list[LabelledRow]:
    return [
        LabelledRow(r.value, r.context, r.name, r.is_secret is not which(number))
        for number, r in enumerate(rows)
    ]


def token_rows(label: bool) -> list[LabelledRow]:
    return [LabelledRow(shapes.with_checksum("ghp"), "", "key", label) for _ in range(20)]


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        pytest.param(
            honest_rows() + flipped(honest_rows()[:3], lambda _: True), "both labels", id="both-labels"
        ),
        pytest.param(
            honest_rows() + token_rows(label=False), "contradict a proof", id="tokens-called-harmless"
        ),
        pytest.param([r for r in honest_rows() if r.is_secret], "is_secret=false", id="one-class"),
        pytest.param([r for r in honest_rows() if not r.is_secret], "is_secret=true", id="the-other-class"),
        pytest.param([honest_rows()[0]] * 50 + honest_rows()[2:3], "1 usable rows", id="a-row-repeated"),
        pytest.param(token_rows(label=True), "usable rows", id="nothing-to-learn"),
    ],
)
def test_hostile_rows_are_refused_with_a_sentence(rows: list[LabelledRow], sentence: str) -> None:
    with pytest.raises(HostileRows, match=sentence) as refused:
        examine(rows, engine)
    assert not [row for row in rows if row.value in str(refused.value)]


def test_a_few_contradictions_are_left_out() -> None:
    plain = examine(honest_rows(), engine)
    assert examine(honest_rows() + token_rows(label=False)[:2], engine) == plain


def test_labels_drawn_by_lot_make_no_model() -> None:
    draw = random.Random(5)
    by_lot = [
        Example(e.vector, e.engine_probability, draw.random() < e.engine_probability)
        for e in examine(honest_rows(400), engine)
    ]
    with pytest.raises(NotBetter, match="set aside"):
        fit(by_lot, BASE)


def test_labels_turned_around_make_no_model() -> None:
    draw = random.Random(6)
    examples = []
    for _ in range(200):
        vector = tuple(draw.uniform(-1, 1) for _ in NAMES)
        probability = 0.9 if vector[0] > 0 else 0.1
        examples.append(Example(vector, probability, vector[0] <= 0))
    with pytest.raises(NotBetter, match="opposite"):
        fit(examples, BASE)


def test_the_worker_fits_in_a_process_of_its_own_and_without_credentials() -> None:
    examples = examine(honest_rows(), engine)
    request = {"base": BASE, "examples": [[e.vector, e.engine_probability, e.is_secret] for e in examples]}
    done = subprocess.run(
        [sys.executable, "-m", "analyzer.calibration.worker"],
        input=json.dumps(request).encode(), capture_output=True, check=True, timeout=120,
    )  # fmt: skip
    assert json.loads(done.stdout) == {"model": fit(examples, BASE).document()}


def changed(**fields: object) -> dict[str, object]:
    return a_model() | fields


BAD_DOCUMENTS = {
    "no-object": ([], "not a JSON object"),
    "empty": ({}, "does not say its format"),
    "format-is-text": (changed(format="1"), "does not say its format"),
    "too-new": (changed(format=2), "newer than this service reads"),
    "too-old": (changed(format=0), "not a calibrator"),
    "another-kind": (changed(kind="forest"), "not a calibrator"),
    "more-fields": (changed(code="import os"), "with the fields"),
    "other-features": (changed(features=["length"]), "other features"),
    "another-engine": (changed(base="engine-0"), "another engine version"),
    "half-of-the-weights": (changed(weights=[0.5] * 4), "weights"),
    "weights-are-text": (changed(weights=["1"] * len(NAMES)), "not a number"),
    "weights-are-true": (changed(weights=[True] * len(NAMES)), "not a number"),
    "not-a-number": (changed(intercept=float("nan")), "between"),
    "infinite": (changed(intercept=float("inf")), "between"),
    "huge-integer": (changed(intercept=10**400), "between"),
    "threshold-of-0": (changed(threshold=0.0), "threshold"),
    "figures-as-text": (changed(trained={"rows": "many"}), "figure"),
    "figure-names-a-value": (changed(trained={"my secret": 1.0}), "plain name"),
}


@pytest.mark.parametrize(("document", "sentence"), BAD_DOCUMENTS.values(), ids=BAD_DOCUMENTS)
def test_a_document_that_is_no_model_is_refused_with_a_sentence(document: object, sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence):
        load(document, BASE)


def test_a_document_is_read_as_it_was_written() -> None:
    made = fit(examine(honest_rows(), engine), BASE)
    assert load(json.loads(json.dumps(made.document())), BASE) == made


def test_scores_of_any_size_are_probabilities() -> None:
    calibrator = Calibrator(BASE, (100.0,) * len(NAMES), 100.0, 0.5, {})
    for size in (-1e9, 0.0, 1e9):
        assert 0 <= calibrator.probability((size,) * len(NAMES)) <= 1
