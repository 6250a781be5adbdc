"""Layers: the same files give the same bytes; packages arrive as their scripts would leave them."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_platform.images.elf import segments_only
from local_platform.images.errors import BuildError
from local_platform.images.layer import Layer, Node, Tree, cached
from local_platform.images.python_files import with_byte_code
from local_platform.images.rootfs import root_filesystem


def members(layer: Layer) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(layer.path) as archive:
        return {member.name: member for member in archive}


def content(layer: Layer, path: str) -> bytes:
    with tarfile.open(layer.path) as archive:
        file = archive.extractfile(path)
        assert file is not None
        return file.read()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A Debian package as they are before the merge of /usr: a set-user-id program, a hard link, a manual."""
    root = tmp_path / "package"
    modes = {
        "bin/tool": 0o4755,
        "usr/share/man/man1/tool.1": 0o644,
        "usr/share/doc/tool/copyright": 0o644,
        "usr/share/ca-certificates/mozilla/a.crt": 0o644,
    }
    for path, mode in modes.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{path}\n")
        file.chmod(mode)
    (root / "bin/alias").hardlink_to(root / "bin/tool")
    (root / "DEBIAN").mkdir()
    (root / "DEBIAN/control").write_text(
        "Package: tool\nVersion: 1.0\nArchitecture: all\nMaintainer: none <none@localhost>\n"
        "Description: a tool\n"
    )
    target = tmp_path / "tool.deb"
    build = ["dpkg-deb", "--build", "--root-owner-group", str(root), str(target)]
    subprocess.run(build, check=True, capture_output=True)
    return target


class TestLayer:
    def test_has_the_same_digest_whatever_the_order_in_which_files_came(self, tmp_path: Path) -> None:
        one, two = Tree(), Tree()
        one.file("app/a", b"1")
        one.file("app/b", b"2")
        two.file("app/b", b"2")
        two.file("app/a", b"1")
        first, second = cached(tmp_path / "1", "k", lambda: one), cached(tmp_path / "2", "k", lambda: two)
        assert (first.digest, first.diff_id) == (second.digest, second.diff_id)

    def test_names_parents_belongs_to_root_and_has_no_time(self, tmp_path: Path) -> None:
        tree = Tree()
        tree.file("app/src/main.py", b"x", 0o755)
        found = members(cached(tmp_path, "k", lambda: tree))
        assert list(found) == ["app", "app/src", "app/src/main.py"]
        assert {(m.uid, m.gid, m.mtime) for m in found.values()} == {(0, 0, 0)}
        assert found["app/src/main.py"].mode == 0o755

    def test_puts_hard_links_behind_their_targets(self, tmp_path: Path) -> None:
        tree = Tree()
        tree["a"] = Node(tarfile.LNKTYPE, 0o644, target="z")
        tree.file("z", b"content")
        assert list(members(cached(tmp_path, "k", lambda: tree))) == ["z", "a"]

    def test_is_made_once_for_a_key(self, tmp_path: Path) -> None:
        tree = Tree()
        tree.file("a", b"1")
        first = cached(tmp_path, "k", lambda: tree)

        def never() -> Tree:
            raise AssertionError("the cache was not used")

        assert cached(tmp_path, "k", never) == first

    def test_leaves_nothing_in_the_cache_when_its_making_fails(self, tmp_path: Path) -> None:
        def fails() -> Tree:
            raise BuildError("no")

        with pytest.raises(BuildError):
            cached(tmp_path, "k", fails)
        assert list((tmp_path / "layers").iterdir()) == []

    @settings(deadline=None)
    @given(
        st.dictionaries(
            st.from_regex(r"[a-z]{1,3}(/[a-z]{1,120}){0,3}", fullmatch=True), st.binary(), max_size=5
        )
    )
    def test_gives_back_what_was_put_in(
        self, tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
    ) -> None:
        folders = {parent for path in files for parent in _parents(path)}
        tree = Tree()
        for path, data in files.items():
            if path not in folders:
                tree.file(path, data)
        layer = cached(tmp_path_factory.mktemp("layer"), "k", lambda: tree)
        assert {path: content(layer, path) for path in tree} == {
            path: node.content for path, node in tree.items()
        }


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:n]) for n in range(1, len(parts))]


class TestRootFilesystem:
    def test_merges_usr_and_keeps_hard_links(self, package: Path) -> None:
        tree = root_filesystem([package], drop=(), user="app", uid=10001)
        files = {tree["usr/bin/tool"].kind, tree["usr/bin/alias"].kind}
        assert files == {tarfile.REGTYPE, tarfile.LNKTYPE}
        assert tree["bin"].target == "usr/bin"
        assert not any(path.startswith("bin/") for path in tree)

    def test_lets_no_program_change_its_user(self, package: Path) -> None:
        tree = root_filesystem([package], drop=(), user="app", uid=10001)
        assert all(node.mode & 0o6000 == 0 for node in tree.values())

    def test_drops_manuals_and_what_the_recipe_names_and_keeps_licences(self, package: Path) -> None:
        tree = root_filesystem([package], drop=["usr/bin/al*"], user="app", uid=10001)
        assert "usr/share/man/man1/tool.1" not in tree
        assert "usr/bin/alias" not in tree
        assert "usr/share/doc/tool/copyright" in tree

    def test_writes_what_maintainer_scripts_would_have_written(self, package: Path) -> None:
        tree = root_filesystem([package], drop=(), user="app", uid=10001)
        assert b"app:x:10001:10001:" in tree["etc/passwd"].content
        assert b"a.crt" in tree["etc/ssl/certs/ca-certificates.crt"].content
        assert b"Version: 1.0" in tree["var/lib/dpkg/status.d/tool"].content
        assert tree["tmp"].mode == 0o1777

    def test_stores_a_large_file_that_is_there_twice_once(self, package: Path, tmp_path: Path) -> None:
        root = tmp_path / "package"
        for name in ("usr/bin/large", "usr/lib/large"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(b"x" * 100_000)
        build = ["dpkg-deb", "--build", "--root-owner-group", str(root), str(package)]
        subprocess.run(build, check=True, capture_output=True)
        tree = root_filesystem([package], drop=(), user="app", uid=10001)
        assert tree["usr/bin/large"].content == b"x" * 100_000
        assert tree["usr/lib/large"] == Node(tarfile.LNKTYPE, 0o644, target="usr/bin/large")

    def test_a_broken_package_is_named(self, tmp_path: Path) -> None:
        broken = tmp_path / "broken.deb"
        broken.write_bytes(b"no archive")
        with pytest.raises(BuildError, match=r"broken\.deb"):
            root_filesystem([broken], drop=(), user="app", uid=10001)


def test_byte_code_is_the_same_twice_and_never_checked_against_its_source() -> None:
    tree = Tree()
    tree.file("app/lib/one.py", b"NAMES = frozenset({'a', 'b', 'c'})\ndef f(x): return x in NAMES\n")
    tree.file("app/lib/no_python.py", b"def {{ name }}:\n")
    first, second = with_byte_code(tree, "app/lib"), with_byte_code(tree, "app/lib")
    assert first == second
    compiled = [path for path in first if path.endswith(".pyc")]
    assert compiled == ["app/lib/__pycache__/one.cpython-311.pyc"]
    # Bit field of PEP 552: 1 is hash-based, 3 would be checked.
    assert first[compiled[0]].content[4:8] == b"\x01\x00\x00\x00"


def test_byte_code_instead_of_sources_is_imported_and_what_is_no_python_stays(tmp_path: Path) -> None:
    tree = Tree()
    tree.file("app/lib/package/__init__.py", b"from package.one import NAME\n")
    tree.file("app/lib/package/one.py", b"NAME = 'one'\n")
    tree.file("app/lib/package/template.py", b"def {{ name }}:\n")
    compiled = with_byte_code(tree, "app/lib", keep_sources=False)
    assert sorted(compiled) == [
        f"app/lib/package/{name}" for name in ("__init__.pyc", "one.pyc", "template.py")
    ]
    compiled.write(tmp_path)
    ask = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'app/lib')!r}); import package; print(package.NAME)"
    )
    assert subprocess.check_output([sys.executable, "-c", ask], text=True) == "one\n"


class TestSegmentsOnly:
    def test_a_library_without_its_sections_still_works(self, tmp_path: Path) -> None:
        found = importlib.util.find_spec("yaml._yaml")
        assert found is not None
        assert found.origin is not None
        whole = Path(found.origin).read_bytes()
        cut = segments_only(whole)
        assert len(cut) < len(whole) / 2
        assert segments_only(cut) == cut
        library = tmp_path / Path(found.origin).name
        library.write_bytes(cut)
        ask = (
            "import importlib.util as u, yaml\n"
            f"spec = u.spec_from_file_location('yaml._yaml', {str(library)!r})\n"
            "module = u.module_from_spec(spec)\nspec.loader.exec_module(module)\n"
            "print(module.__file__, module.get_version_string())\n"
        )
        said = subprocess.check_output([sys.executable, "-c", ask], text=True)
        assert said.startswith(str(library))

    @pytest.mark.parametrize(
        "content",
        [
            pytest.param(b"", id="empty"),
            pytest.param(b"#!/bin/sh\n", id="script"),
            pytest.param(b"\x7fELF\x02\x01", id="cut-off"),
            pytest.param(b"\x7fELF\x01\x01" + bytes(100), id="32-bit"),
            pytest.param(b"\x7fELF\x02\x01" + b"\xff" * 100, id="table-outside"),
        ],
    )
    def test_what_is_no_program_stays_as_it_is(self, content: bytes) -> None:
        assert segments_only(content) == content
