"""Training: the same rows give the same model, bad rows give a sentence, and a bad model is refused."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from analyzer.engine.classifier import BadModel, read_classifier
from analyzer.engine.detect import Engine, default_engine
from analyzer.engine.privacy import Fingerprinter
from analyzer.training.benchmark import measure_files, measure_rows, measure_tree
from analyzer.training.evaluate import average_precision, calibration_error, score
from analyzer.training.report import train
from analyzer.training.rows import BadRows, Row, read_rows, shape_of
from analyzer.training.synthesis import value_of, vocabulary
from analyzer.training.train import folds_of
from analyzer.training.write import model_document

MARK = "⟦VALUE⟧"
# What a scan of these sources takes for values, which is right, stands here without a name before it.
VALUE, OTHER_VALUE = "h7Gk2Lw9Qz4Xv8Rn1Tb5", "Zq81mNcc02LpVx7RtY4w"


def labelled(groups: int = 6, each: int = 30) -> list[dict[str, Any]]:
    rng = random.Random(3)
    rows: list[dict[str, Any]] = []
    for group in range(groups):
        for number in range(each):
            secret = number % 3 == 0
            name = rng.choice(("password", "api_token", "client_secret"))
            fields: dict[str, Any] = {
                "context": f'{name} = "{MARK}"', "label": int(secret), "group": f"g{group}",
                "category": "Password", "file_type": "toml", "variable_name": name, "weak": False,
            }  # fmt: skip
            if secret:
                fields["shape"] = {"length": 20, "lower": 9, "upper": 5, "digit": 6, "other": 0}
            else:
                fields["value"] = rng.choice(("Enter it", "db/main.name", "see.docs.here", "word_of_words"))
            rows.append(fields)
    return rows


def written(tmp_path: Path, rows: list[dict[str, Any]]) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_the_same_rows_and_seeds_give_the_same_model(tmp_path: Path) -> None:
    rows = read_rows(written(tmp_path, labelled()))
    documents = {model_document(train(rows, (5, 6))[0]) for _ in range(2)}
    assert len(documents) == 1
    model = read_classifier(documents.pop())
    line = f'password = "{VALUE}"'.encode()
    found = Engine(model).search(line, "a.toml", Fingerprinter(b"k")).findings
    assert [finding.rule for finding in found] == ["generic-password"]


def test_a_repository_is_never_on_both_sides(tmp_path: Path) -> None:
    rows = read_rows(written(tmp_path, labelled()))
    folds = folds_of(rows, 3)
    assert len({(row.group, fold) for row, fold in zip(rows, folds, strict=True)}) == 6
    assert set(folds) == {0, 1, 2}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"label": 2}, "neither 0 nor 1"),
        ({"context": "no mark"}, "does not mark"),
        ({"value": None, "shape": None}, "neither a value nor a shape"),
        ({"group": None}, ""),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    rows = labelled(2, 6)
    rows[4] = {**rows[4], **change}
    if change == {"group": None}:
        del rows[4]["group"]
    with pytest.raises(BadRows, match="row 5") as caught:
        read_rows(written(tmp_path, rows))
    assert words in str(caught.value)


def test_a_missing_class_or_a_single_repository_is_refused(tmp_path: Path) -> None:
    negatives = [row for row in labelled() if not row["label"]]
    with pytest.raises(BadRows, match="both labels"):
        train(read_rows(written(tmp_path, negatives)), (1,))
    with pytest.raises(BadRows, match="two groups"):
        train(read_rows(written(tmp_path, labelled(1))), (1,))


def test_a_generated_value_has_the_shape_that_was_counted(tmp_path: Path) -> None:
    rows = read_rows(written(tmp_path, labelled()))
    words = vocabulary(rows)
    for number, row in enumerate(rows):
        value = value_of(row, words, 1, number)
        assert value == value_of(row, words, 1, number)
        assert len(value) == row.shape.length
        assert row.value is not None or shape_of(value) == row.shape


def test_rows_do_not_show_their_value(tmp_path: Path) -> None:
    row: Row = next(row for row in read_rows(written(tmp_path, labelled())) if row.value)
    assert row.value is not None
    assert row.value not in repr(row)


class TestModelFile:
    def packaged(self) -> dict[str, Any]:
        path = Path(read_classifier.__code__.co_filename).with_name("model.json")
        document: dict[str, Any] = json.loads(path.read_bytes())
        return document

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"format": 99}, "format 99"),
            ({"features": ["one"]}, "other features"),
            ({"bigrams": [[0.0]]}, "27 x 27"),
            ({"threshold": "high"}, "no model"),
            ({"threshold": float("nan")}, "NaN is no number"),
            ({"calibration": [float("inf"), 0.0]}, "Infinity is no number"),
            ({"threshold": 1.5}, "no probability"),
            (
                {"trees": [{"feature": [0], "threshold": [1], "left": [0], "right": [-1], "leaf": [0, 1]}]},
                "outside of the tree",
            ),
            (
                {
                    "trees": [
                        {"feature": [999], "threshold": [1], "left": [-1], "right": [-2], "leaf": [0, 1]}
                    ]
                },
                "does not exist",
            ),
        ],
    )
    def test_what_is_no_model_is_refused_with_a_sentence(self, change: dict[str, Any], words: str) -> None:
        with pytest.raises(BadModel, match=words):
            read_classifier(json.dumps({**self.packaged(), **change}).encode())

    def test_a_torn_file_is_refused(self) -> None:
        with pytest.raises(BadModel):
            read_classifier(json.dumps(self.packaged()).encode()[:-100])


class TestFigures:
    def test_precision_recall_and_f1_count_lines(self) -> None:
        result = score([1, 1, 1, 0, 0], [True, True, False, True, False])
        assert (result.precision, result.recall, result.f1) == pytest.approx((2 / 3, 2 / 3, 2 / 3))

    def test_average_precision_of_a_perfect_and_of_a_tied_order(self) -> None:
        assert average_precision([1, 1, 0, 0], [0.9, 0.8, 0.2, 0.1]) == 1
        assert average_precision([1, 0, 1, 0], [0.5, 0.5, 0.5, 0.5]) == 0.5

    def test_calibration_error_is_the_distance_of_stated_and_observed(self) -> None:
        assert calibration_error([1, 0], [0.95, 0.05]) == pytest.approx(0.05)

    def test_files_with_labels_are_counted_by_line(self, tmp_path: Path) -> None:
        (tmp_path / "a.toml").write_text(f'x = 1\npassword = "{VALUE}"\ntoken = "{OTHER_VALUE}"\n')
        labels = [{"path": "a.toml", "line": 2, "label": 1}, {"path": "a.toml", "line": 1, "label": 1}]
        (tmp_path / "labels.jsonl").write_text("".join(json.dumps(label) + "\n" for label in labels))
        result = measure_files(tmp_path, default_engine())
        assert (result.true_positives, result.false_positives, result.false_negatives) == (1, 1, 1)

    def test_labelled_lines_and_trees_are_measured(self, tmp_path: Path) -> None:
        data = written(tmp_path, labelled())
        assert measure_rows(data, default_engine())["all"].f1 > 0.9
        speed = measure_tree(tmp_path, default_engine())
        assert speed.files == 1
        assert speed.megabytes == pytest.approx(data.stat().st_size / 1e6)
