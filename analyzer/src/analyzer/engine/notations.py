"""Values in a notation that is no secret's: algorithms, hashes of passwords, scopes, times, paths."""

from __future__ import annotations

import re

from analyzer.engine.assignments import Candidate
from analyzer.engine.names import AUTHORIZATION, CREDENTIAL, KEY, TOKEN

# Names of algorithms and mechanisms, and of nothing else: PBKDF2WithHmacSHA1, SCRAM-SHA-256, A128CBC-HS256.
_ALGORITHM_WORDS = (
    "negotiate amqplain blowfish kerberos mongodb padding bcrypt chacha digest gssapi "
    "scrypt spnego xoauth argon ascii basic ecdsa latin login oauth pbkdf plain scram "
    "base chap cram ecdh hmac ldap ntlm oaep only peap pkcs plus poly ttls with x509 aes "
    "and cbc crc ctr des dsa eap ecb ede gcm iso jwe jws jwt krb psk rsa sha ssl tls utf wpa "
    "cr ed es hs kw md ms ps rs a v"
)
# The longest word first and nothing given back: `rsarsarsa` is read in one way only.
_ALGORITHM = re.compile(
    rb"(?i)\A(?:(?>" + "|".join(_ALGORITHM_WORDS.split()).encode() + rb")[-_/+.:\d]*+)++\Z"
)
# What a program calls a way to authenticate: cloudOAuth2, n8nUserAuth, AWS_SIGV4.
_MECHANISM = re.compile(
    rb"(?i)\A(?=[a-z])(?!(?:\D*\d){3})(?=.*(?:auth|saml|sigv|kerb|krb|ldap))[a-z0-9_-]{3,48}\Z"
)
_LITERAL = re.compile(
    rb"(?i)\A(?:undefined|null|none|nil|true|false|string|object|function|number|boolean|symbol|anonymous|"
    rb"enabled|disabled|required|optional|unknown|default)\Z"
)
_THREE_PARTS = re.compile(rb"\A\w+[-_/]\w+[-_/]\w+\Z")
_ALGORITHM_KINDS = frozenset((AUTHORIZATION, CREDENTIAL, KEY, TOKEN))
_HASH = re.compile(
    rb"\A(?:pbkdf2_|(?:bcrypt|argon2|scrypt)[a-z0-9_]*\$|\{[A-Za-z0-9-]{2,16}\}|HMACSHA|"
    rb"\$(?:1|2[abxy]?|5|6|7|y|apr1|argon2[a-z]{0,2}|pbkdf2[a-z0-9-]*|scrypt)\$)"
)
_HASH_WORDS = frozenset(("hash", "hashed", "digest", "hashes"))
_SCOPE = re.compile(rb"\A(?:\w{3,16}-HMAC-|[^/]{0,128}/\d{8}/[^/]{1,64}/[^/]{1,64}/\w{1,20}_request)")
_TIME = re.compile(rb"\A\d{4}-\d\d-\d\d(?:[T ]\d\d:|\Z)")
_FILE = re.compile(rb"\A[\w.-]+(?:/[\w.-]+)*/[\w.-]+\.[A-Za-z]\w{0,4}\Z")
_OTP_SECRET = re.compile(rb"\A(?:[A-Za-z0-9+/_=-]{16,}|\d{4,8})\Z")
# What people type who do not want to think of one; the letters before it are the program's or their own.
_COUNTED = re.compile(
    rb"(?i)\A(?:[a-z_@-]{0,12}123456\d{0,4}|"
    # dev-key-12345: what it is for, what it is, and digits that only count.
    rb"(?:dev|test|demo|local|my)[-_](?:api[-_]?)?(?:key|token|secret|password)[-_]?1234?5?)\Z"
)
# input[type="password"]:focus, ok ? "password" : "text", "x$password" != xyes
_SELECTOR = re.compile(rb"\[[\w-]+[~|^$*]?=[\"']?[\w-]*[\"']?\]:{1,2}\Z")
_ALTERNATIVE = re.compile(rb"\?[ \t]*[\"'][^\"']{1,60}[\"'][ \t]*:[ \t]*[\"'`]?\Z")
_COMPARED = re.compile(rb"[\"'`][ \t]*[!=]==?")
_CODE = (b",", b";", b")", b"})", b"],")
_SHELL_TEST = re.compile(rb"\Ax(?:yes|no)?\Z")


def is_notation(candidate: Candidate) -> bool:
    """Whether the value, or the place where it stands, is written as no secret is."""
    name, value = candidate.name, candidate.value
    if _HASH.match(value) or not _HASH_WORDS.isdisjoint(name.words) or _SCOPE.match(value):
        return True
    may_be_word = name.kind not in _ALGORITHM_KINDS
    if _ALGORITHM.match(value) and (not may_be_word or _THREE_PARTS.match(value)):
        return True
    if not may_be_word and _FILE.match(value):
        return True
    if _TIME.match(value) or _SHELL_TEST.match(value) or value.startswith(_CODE):
        return True
    if _COUNTED.match(value) or _LITERAL.match(value):
        return True
    if name.kind == AUTHORIZATION and candidate.separator != "header" and _MECHANISM.match(value):
        return True
    if "otp" in name.words and not _OTP_SECRET.match(value):
        return True
    return _is_elsewhere(candidate)


def _is_elsewhere(candidate: Candidate) -> bool:
    """Whether the name is a selector's, or the value an alternative's or one side of a comparison."""
    if candidate.separator == ":" and (
        _SELECTOR.search(candidate.before) or _ALTERNATIVE.search(candidate.before)
    ):
        return True
    return candidate.quoted and bool(_COMPARED.match(candidate.after))
