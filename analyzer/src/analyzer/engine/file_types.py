"""Groups of file types: how strings are written there, and what a bare word after `=` means."""

from __future__ import annotations

CODE, CONFIG, DOCUMENT, SHELL, SQL, DATA, OTHER = range(7)

_GROUPS = {
    CODE: "py pyi pyx js mjs cjs ts tsx jsx vue svelte java kt kts scala groovy go rs c h cc cpp cxx hpp "
    "hh cs fs vb "
    "rb php pl pm swift m mm dart lua r jl hs erl ex exs clj cljs elm ml lisp el coffee d zig nim pas sol "
    "gd gradle "
    "cr ipynb",
    CONFIG: "yml yaml json json5 toml ini cfg conf config properties env xml plist tf tfvars tfstate hcl "
    "props csproj "
    "settings editorconfig npmrc pypirc netrc htpasswd service tpl j2 template cnf",
    DOCUMENT: "md rst txt adoc markdown html htm tex org rdoc pod cast po pot log",
    SHELL: "sh bash zsh fish ksh ps1 psm1 bat cmd dockerfile makefile mk envrc",
    SQL: "sql psql ddl cql",
    DATA: "lock sum csv tsv dist-inf svg map min pem crt cer der snap",
}  # fmt: skip
_BY_EXTENSION = {extension: group for group, names in _GROUPS.items() for extension in names.split()}


def extension_of(path: str) -> str:
    """What stands behind the last dot of the file's name, or the whole name, in lower case: `py`, "
    "`dockerfile`."""
    name = path.replace("\\", "/").rpartition("/")[2].lower()
    return name.rpartition(".")[2]


def group_of(extension: str) -> int:
    """The group of an extension as `extension_of` gives it."""
    return _BY_EXTENSION.get(extension, OTHER)
