"""What is known already: baselines by fingerprint, suppressions that end, and a tree without a say in it."""

from __future__ import annotations

import json
from pathlib import Path

import analyzer_shapes as shapes
import pytest
from analyzer_scanning import KEY, commit, git, new_repository, scan

from analyzer.cli import main


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in KEY.items():
        monkeypatch.setenv(name, value)
    path = tmp_path / "tree"
    path.mkdir()
    return path


@pytest.fixture
def report(tmp_path: Path) -> Path:
    return tmp_path / "result.json"


def token() -> str:
    return shapes.with_checksum("ghp")


class TestBaseline:
    @pytest.fixture
    def baseline(self, tmp_path: Path) -> Path:
        return tmp_path / "baseline.json"

    def test_code_that_moved_by_seven_lines_is_the_same_finding(
        self, tree: Path, baseline: Path, report: Path
    ) -> None:
        line = f"TOKEN = '{token()}'\n"
        (tree / "a.py").write_text(line)
        _, before = scan(tree, "--write-baseline", baseline, output=report)
        (tree / "a.py").write_text("\n" * 7 + line)
        code, result = scan(tree, "--baseline", baseline, output=report)
        assert (code, result["counts"]["suppressed"]) == (0, {"baseline": 1})
        (moved,) = result["suppressed"]
        assert moved["fingerprint"] == before["findings"][0]["fingerprint"]
        assert moved["line"] == before["findings"][0]["line"] + 7

    def test_a_new_value_on_the_known_line_is_a_finding(
        self, tree: Path, baseline: Path, report: Path
    ) -> None:
        (tree / "a.py").write_text(token())
        scan(tree, "--write-baseline", baseline, output=report)
        (tree / "a.py").write_text(token())
        assert scan(tree, "--baseline", baseline, output=report)[0] == 1

    def test_it_holds_for_the_history_and_for_renamed_files(
        self, tree: Path, tmp_path: Path, baseline: Path, report: Path
    ) -> None:
        repository = new_repository(tmp_path / "repository")
        (repository / "a").write_text(token())
        commit(repository)
        scan(repository, "--write-baseline", baseline, output=report)
        git(repository, "mv", "a", "b")
        commit(repository)
        assert scan(repository, "--history", "--baseline", baseline, output=report)[0] == 0

    def test_another_key_is_refused_with_a_sentence(
        self,
        tree: Path,
        baseline: Path,
        report: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        (tree / "a").write_text(token())
        scan(tree, "--write-baseline", baseline, output=report)
        monkeypatch.setenv("ANALYZER_FINGERPRINT_KEY", "another key")
        assert main(["scan", str(tree), "--baseline", str(baseline)]) == 2
        told = capsys.readouterr().err
        assert "was written with the fingerprint key" in told
        assert json.loads(baseline.read_text())["key_id"] in told

    @pytest.mark.parametrize(
        "text",
        [
            pytest.param("", id="empty"),
            pytest.param("[]", id="a-list"),
            pytest.param('{"analyzer_baseline": 1}', id="half"),
            pytest.param('{"analyzer_baseline": 9, "key_id": "x", "findings": []}', id="too-new"),
            pytest.param("[" * 100_000, id="too-deep"),
        ],
    )
    def test_what_is_no_baseline_is_refused(self, tree: Path, baseline: Path, text: str) -> None:
        baseline.write_text(text)
        assert main(["scan", str(tree), "--baseline", str(baseline)]) == 2

    def test_it_holds_neither_values_nor_lines(self, tree: Path, baseline: Path, report: Path) -> None:
        value = token()
        (tree / "a").write_text(value)
        scan(tree, "--write-baseline", baseline, output=report)
        entry = json.loads(baseline.read_text())["findings"][0]
        assert entry.keys() == {"fingerprint", "rule", "path"}
        assert value[4:] not in baseline.read_text()


class TestInline:
    def allowed(self, text: str) -> str:
        return f"TOKEN = '{token()}'  # {text}\n"

    def test_counts_only_when_the_caller_says_so(self, tree: Path, report: Path) -> None:
        (tree / "a.py").write_text(self.allowed("analyzer: allow revoked test key until=2999-12-31"))
        assert scan(tree, output=report)[0] == 1
        code, result = scan(tree, "--honour-inline", output=report)
        (suppressed,) = result["suppressed"]
        assert (code, suppressed["by"]) == (0, "inline")
        assert (suppressed["reason"], suppressed["until"]) == ("revoked test key", "2999-12-31")

    @pytest.mark.parametrize(
        ("text", "word"),
        [
            pytest.param("analyzer: allow revoked until=2020-01-31", "ended on 2020-01-31", id="expired"),
            pytest.param("analyzer: allow revoked", "lacks an expiry", id="no-expiry"),
            pytest.param("analyzer: allow revoked until=2999-13-45", "lacks an expiry", id="no-date"),
            pytest.param("analyzer: allow until=2999-12-31", "lacks a reason", id="no-reason"),
        ],
    )
    def test_without_reason_or_validity_it_is_a_finding_that_says_so(
        self, tree: Path, report: Path, text: str, word: str
    ) -> None:
        (tree / "a.py").write_text(self.allowed(text))
        code, result = scan(tree, "--honour-inline", output=report)
        assert code == 1
        assert word in result["findings"][0]["note"]

    def test_holds_for_its_own_line(self, tree: Path, report: Path) -> None:
        (tree / "a.py").write_text(
            f"first = '{token()}'\n"
            + self.allowed("analyzer: allow one until=2999-12-31")
            + f"last = '{token()}'\n"
        )
        _, result = scan(tree, "--honour-inline", output=report)
        assert [finding["line"] for finding in result["findings"]] == [1, 3]

    def test_a_reason_that_is_itself_a_secret_is_not_shown(self, tree: Path, report: Path) -> None:
        value = token()
        (tree / "a.py").write_text(self.allowed(f"analyzer: allow {value} until=2999-12-31"))
        scan(tree, "--honour-inline", output=report)
        assert value not in report.read_text()


class TestFile:
    def written(self, tmp_path: Path, *entries: dict[str, str]) -> Path:
        path = tmp_path / "suppressions.yaml"
        path.write_text(json.dumps({"suppressions": list(entries)}))
        return path

    def test_matches_by_path_rule_and_fingerprint(self, tree: Path, tmp_path: Path, report: Path) -> None:
        (tree / "tests").mkdir()
        (tree / "tests/a").write_text(token())
        (tree / "b").write_text(token())
        _, result = scan(tree, output=report)
        of_b = next(f["fingerprint"] for f in result["findings"] if f["path"] == "b")
        why = {"reason": "made up by the tests", "until": "2999-12-31"}
        path = self.written(tmp_path, {"path": "tests/*", "rule": "github-token", **why})
        _, result = scan(tree, "--suppressions", path, output=report)
        assert [f["path"] for f in result["findings"]] == ["b"]
        path = self.written(tmp_path, {"path": "tests/*", **why}, {"fingerprint": of_b, **why})
        code, result = scan(tree, "--suppressions", path, output=report)
        assert (code, result["counts"]["suppressed"]) == (0, {"file": 2})

    def test_yaml_with_a_date_is_read_too(self, tree: Path, tmp_path: Path, report: Path) -> None:
        (tree / "a").write_text(token())
        path = tmp_path / "suppressions.yaml"
        path.write_text("suppressions:\n- {path: a, reason: revoked, until: 2999-12-31}\n")
        assert scan(tree, "--suppressions", path, output=report)[0] == 0

    def test_an_expired_entry_is_a_finding_that_says_so(
        self, tree: Path, tmp_path: Path, report: Path
    ) -> None:
        (tree / "a").write_text(token())
        path = self.written(tmp_path, {"path": "a", "reason": "rotating it", "until": "2020-01-31"})
        code, result = scan(tree, "--suppressions", path, output=report)
        assert code == 1
        assert result["findings"][0]["note"] == "its suppression ended on 2020-01-31 (rotating it)"

    def test_an_entry_that_nothing_needs_is_named(self, tree: Path, tmp_path: Path, report: Path) -> None:
        (tree / "a").write_text("clean")
        path = self.written(tmp_path, {"path": "gone/*", "reason": "was here", "until": "2999-12-31"})
        _, result = scan(tree, "--suppressions", path, output=report)
        assert result["unused_suppressions"] == ["path gone/*"]

    def test_every_problem_is_told_at_once(
        self, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = self.written(
            tmp_path,
            {"path": "a", "until": "2999-12-31"},
            {"path": "a", "reason": "because"},
            {"reason": "because", "until": "2999-12-31"},
            {"path": "a", "reason": "because", "until": "soon", "line": "7"},
        )
        assert main(["scan", str(tree), "--suppressions", str(path)]) == 2
        told = capsys.readouterr().err
        for words in (
            "entry 1: it needs a reason", "entry 2: it needs an expiry", "entry 3: it names nothing",
            "entry 4: unknown: line", "entry 4: until is no date",
        ):  # fmt: skip
            assert words in told


def test_a_tree_that_allows_itself_everything_is_scanned_all_the_same(tree: Path, report: Path) -> None:
    value = token()
    (tree / "a.py").write_text(f"T = '{value}'  # nosec gitleaks:allow noqa pragma: allowlist secret\n")
    (tree / ".gitleaks.toml").write_text("[allowlist]\npaths = ['.*']\n")
    (tree / ".gitleaksignore").write_text("a.py:github-pat:1\n")
    (tree / ".secrets.baseline").write_text("{}")
    (tree / ".gitignore").write_text("*\n")
    (tree / "suppressions.yaml").write_text(
        "suppressions:\n- {path: '*', reason: all is well, until: 2999-12-31}\n"
    )
    assert scan(tree, output=report)[0] == 1
