"""What is no literal at all, or no secret whatever the classifier thinks: cheap, since most hits in code are
neither."""

from __future__ import annotations

import re

from analyzer.engine.assignments import Candidate
from analyzer.engine.calls import is_asked
from analyzer.engine.features import is_inside_string
from analyzer.engine.file_types import CODE, SHELL, group_of
from analyzer.engine.names import AUTHORIZATION, CREDENTIAL, KEY, PASSWORD, SECRET, TOKEN
from analyzer.engine.notations import is_notation

MAX_BLANKS = 3
SHORT = 12
_INTERFACE_TEXTS = frozenset(
    [
        "label",
        "title",
        "text",
        "msg",
        "message",
        "error",
        "placeholder",
        "hint",
        "tooltip",
        "button",
        "caption",
        "heading",
    ]
)
_QUERY = re.compile(rb"[?&][\w.-]{1,60}=\Z")
# setItem('token', 'value'): the first argument of a call, quoted.
_FIRST_ARGUMENT = re.compile(
    rb"[\w\])]\([ \t]*[\"'][^\"']{1,80}[\"'][ \t]*,[ \t]*(?:[\w.]{1,40}\([ \t]*)?[\"'`]?\Z"
)
_OPTION = re.compile(rb"(?:(?:^|[\s\"'`(])--?[\w-]+|\\set[ \t]+\S+|(?:ENV|ARG)[ \t]+\S+)[ \t]+[\"'`]?\Z")
_SQL = re.compile(
    rb"(?i)(?:with|set|user|role|identified|by|alter|create|\S')[^\n]{0,80}\b(?:password|by)[ \t]+[\"'`]\Z"
)
_FUNCTION = re.compile(rb"(?:[a-z][A-Z]|_)\w*[ \t]+[\"'`]\Z")
_ANNOTATION = re.compile(rb"[\w][ \t]*:[ \t]*[\"']\Z")
_ARN = re.compile(rb"arn:(?:aws|secretsmanager|\$\{)[^\s\"']*\Z")
_COLOUR = re.compile(rb"\A#[0-9A-Fa-f]{3,8}\Z")
_REFERENCE = re.compile(
    rb"\A(?:arn:|aws:arn:|urn:|https?://|s3://|file:|/[\w-]+(?:/[\w.-]+)+/?\Z|\./|\.\./|~/|\$|\{\{|\{[\w.\[\]]+\}\Z|<[^>]*>\Z|%[(sd]|@[\w.]+\Z|"
    rb"(?:this|self|process\.env|os\.environ|var|local|data|module|config|settings|env|secrets|vars|github|steps)\.[\w.\[\]-]+\Z)"
)
_DOTTED = re.compile(rb"\A_?[A-Za-z]\w*(?:\.[A-Za-z_]\w*){1,6}\Z")
# password = config.get("value"): what is looked up by the value, rather than the value.
_LOOKED_UP = re.compile(
    rb"(?i)(?:get|getenv|env|environ|fetch|load|read|find|lookup|prompt|getpass|input|ask|secrets?_manager|from_\w+|resolve\w*|param\w*|"
    rb"by_?\w*|query_?selector|locator|element\w*|field|label|translate|gettext|config|settings|format|import|require|include|"
    rb"exists|has|contains|delete|remove|pop|key|name|type|column|symbol|ref|(?<![a-z])_|(?<![a-z])t|encode|decode|instance|"
    rb"\b(?:client|resource|split|strip|replace|join|open)|(?:starts|ends)_?with|with_\w{1,40})"
    rb"(?:_?(?:text|secret|string|property|value|password|var|parameter|"
    rb"item|attribute|attr|data|key|token))?[\[(][ \t]*[\"'`]\Z"
    rb"|\][ \t]*\[[\"']\Z|\bgetpw\w{1,10}\([ \t]*[\"']\Z"
)
_STAND_IN = re.compile(
    rb"(?i)example|placeholder|your[-_ ]|your(?:password|token|key|secret)|xxxx|redacted|"
    rb"change_?-?me|\*\*\*\*|dummy|<[^>]+>|\$\{|\{\{"
)
_UUID = re.compile(rb"\A[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\Z")
_PLAIN_WORDS = re.compile(rb"\A[A-Za-z]+(?:[_ .:/-]+[A-Za-z]+)*\Z")
_EXAMPLE_HOST = re.compile(rb"(?i)\A@(?:[\w.-]*\.)?example\.(?:com|org|net)\b")
_TRANSLATION = re.compile(
    r"(?i)(?:^|[/_.-])(?:i18n|l10n|locales?|lang(?:uage)?s?|translations?|messages)[/_.-]|\.(?:po|pot|arb|xlf|resx|strings)$"
)
# Tokens that page through a list or name a request, and the tokens of parsers.
_NO_SECRET_TOKEN = frozenset(
    [
        "next",
        "continuation",
        "pagination",
        "page",
        "cursor",
        "output",
        "input",
        "marker",
        "sync",
        "resume",
        "client",
        "request",
        "idempotency",
        "change",
        "position",
        "lifecycle",
        "verification",
        "previous",
        "nextpage",
        "start",
        "stop",
        "delimiter",
        "separator",
        "word",
        "lexer",
        "fixed",
        "ordering",
        "creation",
    ]
)
_KIND_ITSELF = re.compile(
    rb"(?i)\A(?:the|a|my|db|user)?[-_ ]?"
    rb"(?:password|passwd|passw|pwd|secret|token|key|apikey|auth|credentials?|username|user|login|filtered)s?\Z"
)
_LOOK_UP = re.compile(
    r"\.(?:get|pop|has|find|fetch|read|load|delete|remove|includes?|index_?of|starts_?with)\w*\Z|_from_\w+\Z",
    re.I,
)
_KIND_NUMBERED = re.compile(rb"(?i)\A(?:password|passwd|pass|secret|token|key)_?\d\Z")
# Names that end so say what their value is: no secret, however it looks.
_NEVER_SECRET = frozenset(
    ("type", "types", "mode", "algorithm", "alg", "length", "len", "size", "spec", "specs", "management",
     "policy", "method", "scheme", "format", "nonce", "signature", "timestamp", "username", "user", "prefix",
     "suffix", "uuid", "status", "state", "version", "mechanism", "mechanisms", "protocol", "protocols",
     "enc", "at", "commit", "factory", "expression")
)  # fmt: skip
_IDENTIFIES = frozenset(("id", "ids"))
_OPENPGP = frozenset(("gpg", "pgp"))
_OPENPGP_ID = re.compile(rb"\A(?:0x)?(?:[0-9A-Fa-f]{8}|[0-9A-Fa-f]{16}|[0-9A-Fa-f]{40})\Z|GPG-KEY")
_PUBLIC_KEY = (b"AAAAB3NzaC1", b"AAAAC3NzaC1lZDI1", b"AAAAE2VjZHNhL", b"ssh-rsa", b"ssh-ed25519")
_NAMESPACED = re.compile(rb"\A[A-Za-z][\w.-]*(?:[:/][A-Za-z][\w.-]*){2,}\Z")
_PROSE = re.compile(rb"\A[.,]?[ \t](?:[a-z]{2,}\b(?![=:(])|\([A-Za-z])")
_WORD = re.compile(rb"\A[A-Za-z_]\w*\Z")
_INDEX = re.compile(rb"\A\[[\w\"'.-]+\][\[. |]")
# Published in RFC 6749, 6750 and 5849, and copied from there into the documentation of every client.
_PUBLISHED = frozenset(
    b"2YotnFZFEjr1zCsicMWpAA tGzv3JOkF0XG5Qx2TlKWIA mF_9.B5f-4.1JqM czZCaGRSa3F0MzpnWDFmQmF0M2JW SlAV32hkKG "
    b"ad180jjd733klru7 h480djs93hd8 0685bd9184jfhq22 dpf43f3p2l4k3l03 kd94hf93k423kf44 nnch734d00sl2jdk "
    b"9djdj82h48djs9d2 gX1fBat3bV 7Fjfp0ZBr1KtDRbnfVdmIw".split()
)
_NEVER_WORDS = frozenset((TOKEN, KEY, CREDENTIAL, AUTHORIZATION))
_SYNTAX = re.compile(rb"A-Za|a-z0-9|0-9a-z|a-zA-Z|A-Z0-9|ABCDEFGH|abcdefgh|\A/?\[\^|\\[dwsb.]|\.[*+]|\A\(")
_TYPE_NAME = re.compile(rb"\A[A-Z]\w*(?:Secret|Password|Token|Key|Credential|Auth)[A-Z]\w*\Z")
_NOT_WORD = re.compile(rb"[^a-z0-9]")
_ASSIGNED = frozenset(("=", ":", "=>", ":=", "?=", "==", "===", "!=", "!==", "<-"))


def is_worth_judging(candidate: Candidate, extension: str) -> bool:
    """Whether the classifier is asked at all."""
    name, value = candidate.name, candidate.value
    if name.kind is None or name.text.count(".") > 6 or value.count(b" ") > MAX_BLANKS:
        return False
    if name.kind in (KEY, TOKEN) and "public" in name.words:
        return False
    if name.kind == TOKEN and not _NO_SECRET_TOKEN.isdisjoint(name.words):
        return False
    if name.words[0] in _INTERFACE_TEXTS or (name.about and not name.last and len(value) < SHORT):
        return False
    if sum(map(_is_alphanumeric, value)) < 3 or _STAND_IN.search(value) or value in _PUBLISHED:
        return False
    if _is_prose(candidate, extension) or is_notation(candidate):
        return False
    return _is_literal(candidate, extension) and not _is_reference(candidate) and not is_asked(candidate)


def names_something_else(candidate: Candidate) -> bool:
    """Whether the name's last word says that the value is a type, a size, a user, and no secret.

    No part of `is_worth_judging`: the classifier learns from such names what it is to speak about a secret.
    """
    words = candidate.name.words
    if words[-1] in _IDENTIFIES:
        # The id of an access key is half of a credential; other ids name a thing.
        return words[-2:-1] not in (("key",), ("keys",))
    return not candidate.name.last and words[-1] in _NEVER_SECRET


def is_translation(path: str) -> bool:
    """Whether a file holds the texts of a user interface, where `password` stands before the word for
    password."""
    return bool(_TRANSLATION.search(path))


def _is_alphanumeric(byte: int) -> bool:
    return 48 <= byte <= 57 or 65 <= byte <= 90 or 97 <= byte <= 122


def _is_literal(candidate: Candidate, extension: str) -> bool:
    """Whether the value stands where a literal stands in this kind of file."""
    before, separator = candidate.before, candidate.separator
    if separator == ",":
        return candidate.quoted and bool(_FIRST_ARGUMENT.search(before))
    if separator == "space":
        if _OPTION.search(before):
            return True
        return candidate.quoted and bool(
            _SQL.search(before) or (_FUNCTION.search(before) and not is_inside_string(before, True))
        )
    if separator == "(":
        return candidate.quoted and not is_inside_string(before, True)
    if candidate.quoted:
        # In Python, a quoted word behind `name:` is a type that is written as a string.
        return not (
            extension in ("py", "pyi")
            and separator == ":"
            and _ANNOTATION.search(before)
            and not _in_quotes(before)
        )
    if separator not in _ASSIGNED or group_of(extension) != CODE:
        return True
    if _QUERY.search(before):
        return True
    has_digit = any(48 <= byte <= 57 for byte in candidate.value)
    return is_inside_string(before, False) and (separator != ":" or has_digit)


def _is_prose(candidate: Candidate, extension: str) -> bool:
    """Whether an option, an element or a scheme is only spoken of: `--password options instead of`."""
    value, separator = candidate.value, candidate.separator
    if candidate.quoted or not value.isalnum() or not _PROSE.match(candidate.after):
        return False
    if separator == "space":
        return value.islower() and value.isalpha() and group_of(extension) != SHELL
    if separator == "element":
        return value.islower() and value.isalpha()
    return separator == "header" and b"uthorization" not in candidate.before and value[-4:].isalpha()


def _in_quotes(before: bytes) -> bool:
    return is_inside_string(before, True)


def _is_reference(candidate: Candidate) -> bool:
    """Whether the value names something (an address, a path, a variable, a colour, itself) rather than being
    a secret."""
    value = candidate.value
    # A web token is judged by its own rule: what that does not take has no key or no signature.
    if value.startswith(b"eyJ") and b"." in value:
        return True
    if _SYNTAX.search(value) or _TYPE_NAME.match(value) or value.startswith(_PUBLIC_KEY):
        return True
    if _is_public(candidate):
        return True
    if _REFERENCE.match(value) or _COLOUR.match(value) or (_DOTTED.match(value) and not value.isdigit()):
        return True
    if candidate.separator == ":" and not candidate.quoted and _ARN.search(candidate.before):
        return True
    if not value.isascii() and not any(48 <= byte <= 57 for byte in value):
        return True
    if (
        _UUID.match(value)
        and candidate.name.kind not in (PASSWORD, SECRET)
        and "api" not in candidate.name.words
    ):
        return True
    if candidate.separator == "url" and _EXAMPLE_HOST.match(candidate.after):
        return True
    # `new Credential("word")` makes one; a key of words is none even there.
    is_made = candidate.separator == "(" and candidate.name.kind not in (KEY, TOKEN)
    if candidate.name.kind in _NEVER_WORDS and not is_made and len(value) < 24 and _PLAIN_WORDS.match(value):
        return True
    if candidate.separator == "header" and value.isalpha() and (value.islower() or len(value) < 12):
        return True
    if candidate.name.kind == AUTHORIZATION and len(value) < 8:
        return True
    if _KIND_ITSELF.match(value) or (candidate.separator == "(" and _LOOK_UP.search(candidate.name.text)):
        return True
    if candidate.separator != "(" and _LOOKED_UP.search(candidate.before):
        return True
    return is_name_again(candidate)


def _is_public(candidate: Candidate) -> bool:
    """Whether the value can only be what all may see: an OpenPGP key's id, a type, a field, a variable."""
    name, value, separator = candidate.name, candidate.value, candidate.separator
    if not _OPENPGP.isdisjoint(name.words) and _OPENPGP_ID.search(value):
        return True
    if separator == "(" and name.kind == TOKEN and _NAMESPACED.match(value):
        return True
    if not candidate.quoted and _WORD.match(value) and _INDEX.match(candidate.after):
        return True
    return separator == "," and bool(_KIND_NUMBERED.match(value))


def is_name_again(candidate: Candidate) -> bool:
    """Whether the value only spells the name again: `api_key="apiKey"`."""
    value = _NOT_WORD.sub(b"", candidate.value.lower())
    name = _NOT_WORD.sub(b"", candidate.name.text.lower().encode(errors="replace"))
    # "GetPasswordData": "ec2:GetPasswordData"
    if len(name) > 8 and b":" in candidate.value and value.endswith(name):
        return True
    return len(value) > 3 and (value == name or (len(value) > 8 and (value in name or name.endswith(value))))
