"""What a build context may say, and how it is told what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from local_platform.images.errors import BuildError
from local_platform.images.recipe import Recipe
from local_platform.images.registry import Repository

CHECKOUT = Path(__file__).parents[2]


def context(folder: Path, table: str) -> Path:
    (folder / "pyproject.toml").write_text(table)
    return folder


def test_names_in_the_file_have_dashes_and_lists_become_tuples(tmp_path: Path) -> None:
    text = '[tool.platform-image]\npackages = ["dash"]\nleave-out = ["dpkg"]\nuid = 1234\nenv = {A = "b"}\n'
    recipe = Recipe.read(context(tmp_path, text))
    assert (recipe.packages, recipe.leave_out, recipe.uid, recipe.env) == (
        ("dash",),
        ("dpkg",),
        1234,
        {"A": "b"},
    )


@pytest.mark.parametrize(
    ("table", "words"),
    [
        pytest.param("[project]\nname = 'a'\n", ["no table [tool.platform-image]"], id="no-table"),
        pytest.param("[tool", ["pyproject.toml"], id="no-toml"),
        pytest.param("[tool.platform-image]\n", ["packages: at least one Debian package"], id="no-packages"),
        pytest.param(
            '[tool.platform-image]\npackages = ["dash"]\nuid = "0"\nentrypont = ["a"]\ncommand = "serve"\n',
            [
                "uid: a whole number above 0",
                "entrypont: unknown; known are packages",
                "command: a list of strings",
            ],
            id="all-problems-at-once",
        ),
        pytest.param('[tool.platform-image]\npackages = ["dash"]\nuid = 0\n', ["uid"], id="root-is-refused"),
    ],
)
def test_a_wrong_recipe_is_reported_with_its_file_and_what_is_needed(
    tmp_path: Path, table: str, words: list[str]
) -> None:
    with pytest.raises(BuildError) as error:
        Recipe.read(context(tmp_path, table))
    assert str(tmp_path) in str(error.value)
    for word in words:
        assert word in str(error.value)


def test_a_context_without_pyproject_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"a build context needs a pyproject\.toml"):
        Recipe.read(tmp_path)


@pytest.mark.parametrize(
    "folder",
    [
        pytest.param("analyzer", id="analyzer"),
        pytest.param("astro/local/stand_in/fm_llm_solver", id="fm-llm-solver"),
        pytest.param("astro/local/local_platform/images/contexts/base", id="base"),
    ],
)
def test_our_own_contexts_are_complete(folder: str) -> None:
    recipe = Recipe.read(CHECKOUT / folder)
    assert recipe.uid == 10001
    for name in (*recipe.application, *filter(None, [recipe.requirements])):
        assert (CHECKOUT / folder / name).exists()


@pytest.mark.parametrize(
    ("text", "base"),
    [
        pytest.param("127.0.0.1:5000/llm-service", "http://127.0.0.1:5000/v2/llm-service/", id="port"),
        pytest.param("ghcr.io/platform/llm-service", "http://ghcr.io/v2/platform/llm-service/", id="path"),
    ],
)
def test_a_repository_names_host_and_path(text: str, base: str) -> None:
    assert Repository.parse(text, plain_http=True).base == base


@pytest.mark.parametrize(
    "text", ["llm-service", "host/Upper", "host:5000/", "http://host/name", "host/a@sha256:0"]
)
def test_what_is_no_repository_is_refused(text: str) -> None:
    with pytest.raises(BuildError, match="HOST"):
        Repository.parse(text, plain_http=True)
