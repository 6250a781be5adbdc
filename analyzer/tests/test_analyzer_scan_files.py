"""Files that are no plain text, and trees that mean harm: the scan ends, and says what it did not see."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import analyzer_shapes as shapes
import pytest
from analyzer_scanning import run, scan
from hypothesis import given
from hypothesis import strategies as st

from analyzer.scan import source
from analyzer.scan.source import BLOCK, OVERLAP, Item, Skipped, Unreadable, blocks_of_lines
from analyzer.scan.tree import FileReader


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    path = tmp_path / "tree"
    path.mkdir()
    (path / "plain").write_text("nothing\n")
    return path


@pytest.fixture
def report(tmp_path: Path) -> Path:
    return tmp_path / "result.json"


@pytest.fixture
def namespace() -> list[str]:
    """What begins a command in a user namespace of its own."""
    command = ["unshare", "--user"]
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        sentence = "the kernel forbids user namespaces"
        if os.environ.get("CI"):
            pytest.fail(sentence)
        pytest.skip(sentence)
    return command


def token() -> str:
    return shapes.with_checksum("ghp")


class TestStandardInput:
    def test_is_scanned_by_a_dash(self) -> None:
        done = run("-", given=f"\n{token()}\n".encode())
        assert done.returncode == 1
        assert done.stdout.startswith(b"standard input:2: critical")
        assert run("-", given=b"nothing").returncode == 0

    def test_is_cut_off_where_it_does_not_end(self) -> None:
        endless = subprocess.Popen(["yes", token()], stdout=subprocess.PIPE)
        argv = [
            sys.executable,
            "-m",
            "analyzer",
            "scan",
            "-",
            "--max-file-bytes",
            "1000",
            "--format",
            "summary",
        ]
        done = subprocess.run(argv, stdin=endless.stdout, capture_output=True, timeout=60, check=False)
        endless.kill()
        endless.communicate()
        assert done.returncode == 2
        assert done.stdout.startswith(b"findings: ")


class TestSpecialFiles:
    def test_links_fifos_sockets_and_loops_are_counted_and_not_followed(
        self, tree: Path, tmp_path: Path, report: Path
    ) -> None:
        (tmp_path / "outside").write_text(token())
        (tree / "link").symlink_to(tmp_path / "outside")
        (tree / "broken").symlink_to(tmp_path / "nowhere")
        (tree / "loop").symlink_to(tree)
        (tree / "folder").mkdir()
        (tree / "folder" / "up").symlink_to("..")
        (tree / "null").symlink_to("/dev/zero")
        os.mkfifo(tree / "fifo")
        code, result = scan(tree, output=report)
        assert (code, result["counts"]["files"]) == (0, 1)
        assert result["counts"]["skipped"] == {"special file": 1, "symbolic link": 5}

    def test_a_device_is_not_read(self, tree: Path, report: Path, namespace: list[str]) -> None:
        """A device that exists is bound into the tree: making one needs rights that few have."""
        (tree / "zero").touch()
        bind = f'mount --bind /dev/zero "{tree}/zero" && exec "$@"'
        argv = [*namespace, "--map-root-user", "--mount", "sh", "-c", bind, "sh"]
        argv += [sys.executable, "-m", "analyzer", "scan", str(tree), "--output", str(report)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert json.loads(report.read_text())["counts"]["skipped"] == {"special file": 1}

    def test_a_fifo_named_by_the_caller_is_incomplete(self, tree: Path, report: Path) -> None:
        os.mkfifo(tree / "fifo")
        assert scan(tree / "fifo", output=report)[0] == 2

    def test_what_may_not_be_read_is_incomplete(self, tree: Path, namespace: list[str]) -> None:
        (tree / "closed").write_text(token())
        (tree / "closed").chmod(0)
        (tree / "folder").mkdir(mode=0)
        # In a user namespace also root is the files' owner and no more: modes count.
        argv = [*namespace, sys.executable, "-m", "analyzer", "scan", str(tree)]
        done = subprocess.run(argv, capture_output=True, timeout=60, check=False)
        assert done.returncode == 2
        assert b"closed: Permission denied" in done.stdout
        assert b"folder: Permission denied" in done.stdout


class TestContents:
    def test_a_binary_of_three_megabytes_is_searched_too(self, tree: Path, report: Path) -> None:
        noise = shapes.RNG.randbytes(1_500_000)
        (tree / "program").write_bytes(noise + b"\0" + token().encode() + b"\0" + noise)
        code, result = scan(tree, output=report)
        assert (code, result["findings"][0]["rule"]) == (1, "github-token")

    def test_an_archive_is_said_to_be_unopened(self, tree: Path, report: Path) -> None:
        with zipfile.ZipFile(tree / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("../../escape", "x" * 1000)
        code, result = scan(tree, output=report)
        assert (code, result["counts"]["unopened"]) == (0, {"zip archive": 1})

    def test_a_text_that_begins_like_an_archive_hides_nothing(self, tree: Path, report: Path) -> None:
        (tree / "a.zip").write_bytes(b"PK\x03\x04\n" + token().encode())
        assert scan(tree, output=report)[0] == 1

    def test_a_line_of_a_million_characters_is_searched_to_its_end(self, tree: Path, report: Path) -> None:
        (tree / "minified.js").write_text("a=1;" * 250_000 + f"t='{token()}'")
        code, result = scan(tree, output=report)
        assert (code, result["findings"][0]["line"]) == (1, 1)

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
    def test_values_around_the_end_of_a_block_are_found_once_and_at_their_line(
        self, tree: Path, report: Path, encoding: str
    ) -> None:
        lines = [f"line {n} {'.' * 90}" for n in range(2 * BLOCK // 100)]
        planted = range(1000, len(lines), 997)
        for n in planted:
            lines[n] = token()
        key = shapes.pem("rsa").strip().split("\n")
        middle = BLOCK // 100 - 10
        lines[middle:middle] = key
        mark = b"" if encoding == "utf-8" else "\ufeff".encode(encoding)
        (tree / "large").write_bytes(mark + "\n".join(lines).encode(encoding))
        _, result = scan(tree, "--list", 0, output=report)
        found = {f["line"] for f in result["findings"] if f["rule"] == "github-token"}
        assert found == {n + 1 + (len(key) if n >= middle else 0) for n in planted}
        assert [f["line"] for f in result["findings"] if f["rule"] == "private-key"] == [middle + 1]
        assert result["counts"]["findings"] == len(planted) + 1

    @given(st.lists(st.binary(max_size=40), max_size=60))
    def test_blocks_hold_every_line_whole(self, pieces: list[bytes]) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(source, "BLOCK", 64)
            patch.setattr(source, "OVERLAP", 8)
            patch.setattr(source, "_LONGEST_LINE", 1 << 20)
            whole = b"".join(pieces).replace(b"\xff\xfe", b"").replace(b"\xfe\xff", b"")
            lines = whole.split(b"\n")
            step = max(1, len(whole) // 7)
            parts = [whole[n : n + step] for n in range(0, len(whole), step)]
            seen: dict[int, bytes] = {}
            for block in blocks_of_lines(iter(parts)):
                for n, line in enumerate(block.content.split(b"\n"), block.first_line):
                    if len(line) > len(seen.get(n, b"")):
                        seen[n] = line
            assert [seen.get(n, b"") for n in range(1, len(lines) + 1)] == lines


class TestFilesThatChange:
    def test_a_file_that_grows_all_the_time_does_not_hold_the_scan(self, tree: Path, report: Path) -> None:
        log = tree / "growing.log"
        log.write_text(token() + "\n")
        with log.open("a") as end, subprocess.Popen(["yes", "more and more"], stdout=end) as growing:
            try:
                code, result = scan(log, output=report)
            finally:
                growing.kill()
        assert code in (1, 2)
        assert len(result["findings"]) == 1

    def test_a_change_of_size_between_two_reads_is_told(self, tree: Path) -> None:
        file = tree / "changing"
        for change, word in ((BLOCK + 50, "shrank"), (BLOCK + 200, "grew")):
            file.write_bytes(b"x" * (BLOCK + 100))
            pieces = FileReader().pieces(Item("changing", str(file)))
            assert len(next(pieces)) == BLOCK
            os.truncate(file, change)
            with pytest.raises(Unreadable, match=word):
                list(pieces)

    def test_what_vanished_or_became_a_link_after_it_was_listed_is_told(self, tree: Path) -> None:
        with pytest.raises(Unreadable, match="vanished"):
            list(FileReader().pieces(Item("gone", str(tree / "gone"))))
        (tree / "now-a-link").symlink_to(tree / "plain")
        with pytest.raises(Skipped, match="symbolic link"):
            list(FileReader().pieces(Item("now-a-link", str(tree / "now-a-link"))))

    def test_what_was_read_before_the_trouble_is_searched(self) -> None:
        def pieces() -> object:
            yield b"one\n"
            raise Unreadable("trouble")

        blocks = blocks_of_lines(pieces())  # type: ignore[arg-type]
        assert next(blocks).content == b"one\n"
        with pytest.raises(Unreadable):
            next(blocks)


def test_fifty_thousand_files_are_all_seen(tree: Path, report: Path) -> None:
    for folder in range(100):
        (tree / f"{folder:03}").mkdir()
        for n in range(500):
            (tree / f"{folder:03}" / f"{n}.txt").write_bytes(b"nothing\n")
    planted = tree / "099" / "499.txt"
    planted.write_text(token())
    code, result = scan(tree, output=report)
    assert (code, result["counts"]["files"]) == (1, 50_001)
    assert [f["path"] for f in result["findings"]] == ["099/499.txt"]


def test_the_result_is_the_same_whatever_the_number_of_processes(tree: Path, report: Path) -> None:
    for n in range(400):
        (tree / f"{n:03}").write_text(token() if n % 7 == 0 else "nothing")
    os.environ["ANALYZER_FINGERPRINT_KEY"] = "a key of this test"
    try:
        one, three = (scan(tree, "--jobs", jobs, "--list", 0, output=report)[1] for jobs in (1, 3))
    finally:
        del os.environ["ANALYZER_FINGERPRINT_KEY"]
    assert one == three
    assert OVERLAP < BLOCK
