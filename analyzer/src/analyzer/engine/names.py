"""What the name of a variable, key, option or header says about its value."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

PASSWORD, SECRET, TOKEN, KEY, CREDENTIAL, AUTHORIZATION = (
    "password", "secret", "token", "key", "credential", "authorization",
)  # fmt: skip
KINDS = (PASSWORD, SECRET, TOKEN, KEY, CREDENTIAL, AUTHORIZATION)

_WORDS: dict[str, str] = (
    dict.fromkeys(("password", "passwords", "passwd", "passphrase", "passcode", "pass", "pwd", "pw", "psw",
        "passwort",
                   "pswd", "pgpassword", "userpass", "dbpass", "dbpassword", "rootpassword", "newpassword",
                   "oldpassword",
                   "mypassword", "sshpass", "contrasena", "senha", "kennwort", "passwrd", "storepass",
                       "keypass"), PASSWORD)
    | dict.fromkeys(("secret", "secrets", "totp", "otp", "seed", "mnemonic"), SECRET)
    | dict.fromkeys(("token", "tokens", "jwt", "pat", "authtoken", "accesstoken", "refreshtoken"), TOKEN)
    | dict.fromkeys(("apikey", "secretkey", "accesskey", "privatekey", "appkey", "authkey", "masterkey",
        "api_key"), KEY)
    | dict.fromkeys(("credential", "credentials", "creds", "cred"), CREDENTIAL)
    | dict.fromkeys(("auth", "authorization", "bearer", "authentication", "oauth"), AUTHORIZATION)
)  # fmt: skip
_KEY_OF = frozenset(
    [
        "api",
        "secret",
        "access",
        "private",
        "encryption",
        "encrypt",
        "decryption",
        "signing",
        "sign",
        "auth",
        "master",
        "client",
        "account",
        "app",
        "service",
        "shared",
        "storage",
        "aws",
        "s3",
        "hmac",
        "crypt",
        "crypto",
        "cipher",
        "jwt",
        "license",
        "licence",
        "subscription",
        "tenant",
        "consumer",
        "ssh",
        "deploy",
        "webhook",
        "session",
        "instrumentation",
        "admin",
        "rsa",
        "aes",
        "gpg",
        "pgp",
        "server",
        "security",
        "symmetric",
        "data",
        "write",
        "ingest",
        "integration",
        "sas",
        "base",
        "fernet",
        "known",
        "generated",
        "hex",
        "raw",
        "derived",
        "static",
        "private",
        "ephemeral",
    ]
)
_ENDINGS = (
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "secretkey",
    "accesskey",
    "privatekey",
)
_ENDING_KIND = dict(
    zip(_ENDINGS, (PASSWORD, PASSWORD, PASSWORD, SECRET, TOKEN, KEY, KEY, KEY, KEY), strict=True)
)
# A name that goes on after the secret's word with one of these speaks *about* the secret.
_ABOUT = frozenset(
    [
        "id",
        "ids",
        "name",
        "names",
        "type",
        "types",
        "url",
        "urls",
        "uri",
        "path",
        "paths",
        "file",
        "files",
        "filename",
        "dir",
        "length",
        "len",
        "size",
        "min",
        "max",
        "count",
        "counts",
        "policy",
        "field",
        "fields",
        "header",
        "headers",
        "scope",
        "scopes",
        "provider",
        "regex",
        "pattern",
        "expires",
        "expiry",
        "expiration",
        "expire",
        "ttl",
        "age",
        "format",
        "hint",
        "label",
        "title",
        "placeholder",
        "text",
        "message",
        "msg",
        "error",
        "errors",
        "description",
        "desc",
        "help",
        "tooltip",
        "prompt",
        "input",
        "form",
        "reset",
        "change",
        "forgot",
        "recovery",
        "strength",
        "valid",
        "validator",
        "validation",
        "invalid",
        "required",
        "enabled",
        "disabled",
        "enable",
        "disable",
        "is",
        "has",
        "show",
        "hide",
        "visible",
        "toggle",
        "class",
        "icon",
        "button",
        "link",
        "page",
        "view",
        "screen",
        "route",
        "endpoint",
        "method",
        "mode",
        "kind",
        "algorithm",
        "alg",
        "manager",
        "service",
        "factory",
        "store",
        "storage",
        "list",
        "map",
        "set",
        "dict",
        "table",
        "column",
        "index",
        "idx",
        "limit",
        "limits",
        "usage",
        "used",
        "rate",
        "budget",
        "ref",
        "reference",
        "arn",
        "version",
        "params",
        "param",
        "options",
        "config",
        "settings",
        "handler",
        "callback",
        "func",
        "function",
        "fn",
        "request",
        "response",
        "state",
        "status",
        "event",
        "changed",
        "updated",
        "created",
        "at",
        "date",
        "time",
        "template",
        "schema",
        "spec",
        "source",
        "env",
        "var",
        "variable",
        "property",
        "attr",
        "attribute",
        "element",
        "selector",
        "locator",
        "xpath",
        "css",
        "embedding",
        "embeddings",
        "mask",
        "ids",
        "start",
        "end",
        "begin",
        "bos",
        "eos",
        "pad",
        "unk",
        "sep",
        "cls",
        "special",
        "image",
        "audio",
        "video",
        "vocab",
        "position",
        "positions",
        "role",
        "hash",
        "hashed",
        "digest",
        "checksum",
        "salt",
        "spec",
        "user",
        "username",
        "login",
        "email",
        "host",
        "port",
    ]
)
_UI = frozenset(
    [
        "label",
        "title",
        "placeholder",
        "text",
        "message",
        "msg",
        "error",
        "errors",
        "invalid",
        "mandatory",
        "show",
        "forgot",
        "confirm",
        "change",
        "reset",
        "hint",
        "description",
        "help",
        "tooltip",
        "prompt",
        "advice",
        "repeat",
        "matching",
        "button",
        "heading",
        "subtitle",
        "info",
        "warning",
        "notification",
        "translation",
        "i18n",
        "caption",
        "required",
        "length",
        "must",
        "should",
        "please",
        "enter",
    ]
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SPLIT = re.compile(r"[^A-Za-z]+")


@dataclass(frozen=True)
class Name:
    """A name, taken apart."""

    text: str
    kind: str | None
    """What the value would be, if it is a secret; None when the name says nothing of one."""
    last: bool
    """Whether the secret's word ends the name: `db_password`, and not `password_length`."""
    exact: bool
    """Whether there are no other words."""
    words: tuple[str, ...]
    about: int
    """How many words speak about a secret (its length, its form field) rather than name one."""
    interface: int
    """How many words belong to the text of a user interface."""


@lru_cache(maxsize=8192)
def read_name(text: str) -> Name:
    """Takes a name of at most 200 characters apart."""
    words = tuple(word.lower() for word in _SPLIT.split(_CAMEL.sub("_", text[-200:])) if word)
    kind, position = _kind_of(words)
    return Name(
        text=text,
        kind=kind,
        last=kind is not None and position == len(words) - 1,
        exact=kind is not None and len(words) <= (2 if kind == KEY else 1),
        words=words,
        about=sum(word in _ABOUT for word in words),
        interface=sum(word in _UI for word in words),
    )


def _kind_of(words: tuple[str, ...]) -> tuple[str | None, int]:
    """The kind that the last telling word gives, and where that word stands."""
    for position in range(len(words) - 1, -1, -1):
        word = words[position]
        if word in _WORDS:
            return _WORDS[word], position
        if word in ("key", "keys") and (not position or words[position - 1] in _KEY_OF):
            return KEY, position
        for ending in _ENDINGS:
            if word.endswith(ending):
                return _ENDING_KIND[ending], position
    return None, -1
