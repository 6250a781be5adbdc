"""Candidates without a format of their own: values that stand behind a telling name.

The matcher finds where such a value begins (its hits end on the value's first character); the functions
here read the name before it and the value to its end, within a window, whatever the length of the line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from analyzer.engine.matcher import CASELESS
from analyzer.engine.names import Name, read_name

LOOK_BACK = 160
LOOK_AHEAD = 512
MIN_VALUE = 3
MAX_VALUE = 4096
MAX_PARTS = 64

_KEYWORD = (
    rb"(?:passw(?:or)?d|pass(?:phrase|code|wort|wd)?|pswd|psw|pwd|[^a-z]pw|secret|token|jwt|credential|cred|auth|bearer|totp|otp|"
    rb"(?:api|access|secret|private|encryption|signing|master|client|account|app|service|shared|storage|hmac|crypt|cipher|"
    rb"license|subscription|tenant|consumer|ssh|deploy|session|admin|rsa|aes|gpg|security|instrumentation|base|fernet)"
    rb"[ _.-]?keys?)"
)
_REST = rb"[\w.-]{0,40}"
_SEPARATOR = rb"(?:=>|:=|\?=|[=!]==?|[:=,]|<-)"
_TYPE = rb"(?::?[ \t]{0,2}&?[\w.<>\[\]?*]{1,30}[ \t]{1,2}=[ \t]{0,2}|:[ \t]{0,2}[\w.<>\[\]?]{1,30}=)?"
_CALL = (
    rb"(?:(?:new[ \t]{1,2})?[\w.:]{1,40}\([ \t]{0,4}(?:[\w.:]{1,40}\([ \t]{0,4})?|"
    rb"\([ \t]{0,4}\n?[ \t]{0,40}|\[[ \t]{0,2})?"
)
_OPEN = rb"(?:[bBrRuUfF@$]{0,2}\\?[\"'`]{1,3})"


@dataclass(frozen=True)
class Candidate:
    """A value that may be a secret, and what stands around it. Its representation leaves the value out."""

    value: bytes = field(repr=False)
    start: int
    end: int
    name: Name
    separator: str
    quoted: bool
    line: bytes = field(repr=False)
    """The line up to the window's edges."""
    before: bytes = field(repr=False)
    """The part of the line before the value."""
    after: bytes = field(repr=False)
    """The part of the line behind the value."""

    @property
    def is_minified(self) -> bool:
        """Whether the line is longer than the window on both sides."""
        return len(self.before) >= LOOK_BACK and len(self.after) >= LOOK_AHEAD


# The expressions of the matcher with possessive repeats: `re` looks at a window only, and never goes back in
# it.
_P_TYPE = (
    rb"(?:(?::?[ \t]{0,2}+&?[\w.<>\[\]?*]{1,30}+[ \t]{1,2}+=[ \t]{0,2}+)|"
    rb"(?::[ \t]{0,2}+[\w.<>\[\]?]{1,30}+=))?"
)
_P_CALL = (
    rb"(?:(?:new[ \t]{1,2}+)?+[\w.:]{1,40}+\([ \t]{0,4}+(?:[\w.:]{1,40}+\([ \t]{0,4}+)?|"
    rb"\([ \t]{0,4}+\n?+[ \t]{0,40}+|\[[ \t]{0,2}+)?"
)
_HEAD = re.compile(
    rb"(?<![\w.$@-])(?P<name>(?=[^A-Za-z_\s]*+[A-Za-z_])[\w.$@-]{1,120}+)(?:"
    rb"[\]\)\"'`\\]{0,5}+[ \t]{0,20}+(?P<separator>"
    + _SEPARATOR
    + rb")[ \t]{0,20}+"
    + _P_TYPE
    + rb"[ \t]{0,20}+"
    + _P_CALL
    + _OPEN
    + rb"?"
    rb"|(?P<call>\([ \t]{0,4}+|[ \t]{1,4}+)" + _OPEN + rb"?"
    rb"|(?P<element>>)[ \t]{0,4}+"
    rb"|[\"']?+,?+(?P<value>\s{1,40}+[\"']?+value[\"']?+[ \t]{0,4}+[:=])[ \t]{0,4}+[\"']?+"
    rb")\Z"
)
_SCHEMES = (b"Basic ", b"Bearer ", b"basic ", b"bearer ", b"Token ", b"token ", b"BEARER ")
_NOT_VALUES = frozenset(scheme.strip() for scheme in _SCHEMES) | {b"value", b"str", b"string", b"String"} | {
    b"AWS4-HMAC-SHA256", b"Digest", b"Negotiate", b"NTLM", b"OAuth", b"ApiKey",
}  # fmt: skip
_UNQUOTED = re.compile(rb"[^\s\"'`,;<>(){}\[\]|&#\\]{1,512}")
_UNQUOTED_LINE = re.compile(rb"[^\s\"'`<>{}\[\]]{1,512}")
_CONTINUED = re.compile(
    rb"[ \t]*[+.\\&]?[ \t]*\\?\r?\n[ \t]*(?:[+.&][ \t]*)?[\"']|"
    rb"[ \t]*[+.][ \t]*[\"']|[ \t]+[\"'](?=[^\s,;)\]}])"
)
_QUOTES = b"\"'`"


def _keyed(tail: bytes) -> bytes:
    return _KEYWORD + _REST + tail


EXPRESSIONS: tuple[tuple[bytes, int], ...] = (
    # name = "value", name: value, "name" => call("value"), String name = "value"
    (_keyed(rb"[\]\)\"'`\\]{0,4}[ \t]{0,20}" + _SEPARATOR + rb"[ \t]{0,20}" + _TYPE
            + rb"[ \t]{0,20}" + _CALL + _OPEN + rb"?[^\s\"'`\\]"),
     CASELESS),
    # set_password("value"), Credential("value"); PASSWORD "value"
    (_keyed(rb"(?:\([ \t]{0,4}|[ \t]{1,4})" + _OPEN + rb"[^\s\"'`\\]"), CASELESS),
    # <password>value</password>
    (rb"<[\w:.-]{0,40}" + _keyed(rb">[ \t]{0,4}[^\s<]"), CASELESS),
    # <add key="password" value="value"/>, {"name": "PASSWORD", "value": "value"}
    (_keyed(rb"[\"']?,?\s{1,40}[\"']?value[\"']?[ \t]{0,4}[:=][ \t]{0,4}[\"']?[^\s\"']"), CASELESS),
    # --password value, \set DB_PASS value, ENV DB_PASSWORD value
    (rb"(?:[\s\"'`(]--?[\w-]{0,30}|\\set[ \t][\w-]{0,30}|\n(?:ENV|ARG)[ \t][\w-]{0,30})"
     + _keyed(rb"[ \t]{1,4}[^\s\"'`=:-]"), CASELESS),
    # "key": "value" with a long enough value
    (rb"[^A-Za-z0-9_-]key[\"']?[ \t]{0,2}[:=][ \t]{0,2}[\"'][A-Za-z0-9+/_=-]{14}", CASELESS),
    (rb"key[\"']?[ \t]{0,2}[:=][ \t]{0,2}[\"'][A-Za-z0-9+/_=-]{32}", CASELESS),
    # Authorization: Basic value, "Bearer value"
    (rb"[^A-Za-z0-9_](?:basic|bearer)[ \t]{1,2}[A-Za-z0-9+/_.=-]{14}", CASELESS),
    # curl -u user:value
    (rb"[ \t](?:-u|--user)[ =][\"']?[\w.@+-]{1,40}:[^\s\"'$]", 0),
    # openssl -password pass:value
    (rb"[ \t]-pass(?:word|in|out)?[ =]pass:[^\s\"'$]", 0),
    # scheme://user:value@
    (rb"://[^\s/@\"'`<>:]{0,64}:[^\s/@\"'`<>]{1,128}@[A-Za-z0-9$\[{(%_]", 0),
)  # fmt: skip
_FIXED = {5: 14, 6: 32, 7: 14}
_HEADER, _USER, _PASS, _URL = 7, 8, 9, 10


def candidate_at(content: bytes, expression: int, end: int) -> Candidate | None:
    """The candidate that a hit of `EXPRESSIONS[expression]` ending at `end` points to; None when there is
    none."""
    if expression == _URL:
        return _url_password(content, end)
    start = end - _FIXED.get(expression, 1)
    line_start = content.rfind(b"\n", max(0, start - LOOK_BACK), start) + 1 or max(0, start - LOOK_BACK)
    before = content[line_start:start]
    if expression == _USER:
        return _read(content, start, before, "curl password", "option")
    if expression == _PASS:
        return _read(content, start, before, "openssl password", "option")
    if expression == _HEADER:
        return _read(content, start, before, "authorization", "header")
    head = _head(content, max(0, start - LOOK_BACK), start)
    if head is None:
        return None
    separator = (
        "value"
        if head["value"]
        else "element"
        if head["element"]
        else (head["separator"] or head["call"][:1]).decode()
    )
    return _read(
        content, start, before, head["name"].decode("utf-8", "replace"), separator.strip() or "space"
    )


def _head(content: bytes, begin: int, start: int) -> re.Match[bytes] | None:
    """The name before a value: of the names that can stand for it, the first that says something of a
    secret."""
    first = None
    for _ in range(4):
        head = _HEAD.search(content, begin, start)
        if head is None or read_name(head["name"].decode("utf-8", "replace")).kind:
            return head or first
        first, begin = first or head, head.end("name")
    return first


def _read(content: bytes, start: int, before: bytes, name: str, separator: str) -> Candidate | None:
    quote = content[start - 1 : start]
    quoted = quote in (b'"', b"'", b"`") and start > 0
    if quoted:
        end, value = _quoted(content, start, quote)
    else:
        end, value = _bare(content, start, before)
    if value.startswith(_SCHEMES):
        scheme = value.index(b" ") + 1
        start, value, before, separator = start + scheme, value[scheme:], before + value[:scheme], "header"
    if len(value) < MIN_VALUE or value in _NOT_VALUES:
        return None
    line_end = content.find(b"\n", end, end + LOOK_AHEAD)
    after = content[end : line_end if line_end >= 0 else end + LOOK_AHEAD]
    return Candidate(
        value,
        start,
        end,
        read_name(name),
        separator,
        quoted,
        before + value[:MAX_VALUE] + after,
        before,
        after,
    )


def _quoted(content: bytes, start: int, quote: bytes) -> tuple[int, bytes]:
    """The end and the value of a string; strings that the code puts together are joined."""
    escaped = content[start - 2 : start - 1] == b"\\"
    closing = b"\\" + quote if escaped else quote
    parts, position = [], start
    while True:
        end = _closing(content, position, closing)
        parts.append(content[position:end])
        if escaped or len(parts) >= MAX_PARTS:
            break
        more = _CONTINUED.match(content, end + 1, end + 200) if quote != b"`" else None
        if more is None or more.group()[-1:] != quote:
            break
        position = more.end()
    return end, b"".join(parts)


def _closing(content: bytes, start: int, closing: bytes) -> int:
    """Where the string ends: its closing quote, or the end of its line or of the window."""
    limit = content.find(b"\n", start, start + MAX_VALUE)
    if limit < 0:
        limit = min(len(content), start + MAX_VALUE)
    end = content.find(closing, start, limit)
    while end > start and len(closing) == 1 and content[end - 1] == 0x5C:
        end = content.find(closing, end + 1, limit)
    return end if end >= 0 else limit


def _bare(content: bytes, start: int, before: bytes) -> tuple[int, bytes]:
    match = _UNQUOTED.match(content, start)
    return (match.end(), match.group()) if match else (start, b"")


def _url_password(content: bytes, end: int) -> Candidate | None:
    """The password of an address; `end` is behind the first character of the host."""
    at = end - 2
    begin = content.rfind(b"://", max(0, at - 200), at)
    if begin < 0:
        return None
    user, colon, _ = content[begin + 3 : at].partition(b":")
    if not colon:
        return None
    start = begin + 4 + len(user)
    line_start = content.rfind(b"\n", max(0, start - LOOK_BACK), start) + 1 or max(0, start - LOOK_BACK)
    line_end = content.find(b"\n", at, at + LOOK_AHEAD)
    after = content[at : line_end if line_end >= 0 else at + LOOK_AHEAD]
    before, value = content[line_start:start], content[start:at]
    return Candidate(
        value, start, at, read_name("url password"), "url", False, before + value + after, before, after
    )
