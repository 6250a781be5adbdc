"""Calls that keep no secret, and notations that are none: each beside a line of its kind that is reported."""

from __future__ import annotations

import analyzer_shapes as shapes
import pytest

from analyzer.engine.detect import default_engine
from analyzer.engine.privacy import Fingerprinter

KEY = Fingerprinter(b"a key of this test")
VALUE = shapes.text(shapes.ALPHANUMERIC, 18) + "7q"
HEXADECIMAL = shapes.text("0123456789abcdef", 40)


def reported(path: str, line: str) -> bool:
    text = line.format(value=VALUE, hexadecimal=HEXADECIMAL)
    return bool(default_engine().search(text.encode(), path, KEY).findings)


@pytest.mark.parametrize(
    ("path", "kept", "asked"),
    [
        ("a.py", 'user.set_password("{value}")', 'user.check_password("{value}")'),
        ("a.py", 'user.set_password("{value}")', 'token.endswith("{value}")'),
        ("a.js", "login.setPassword('{value}')", "$password.trigger('{value}')"),
        ("a.py", 'password = "{value}"', 'password = raw.encode("{value}")'),
        ("a.py", 'secrets = "{value}"', 'secrets = boto3.client("{value}")'),
        ("a.py", 'credentials = "{value}"', 'credentials = old.with_quota_project("{value}")'),
        ("a.js", "localStorage.setItem('token', '{value}')", "expect(form.hasError('token', '{value}'))"),
        ("a.in", "password = {value}", "password = {value}($1, 1)"),
        ("a.py", "put('passwd', '{value}')", "put('etc/passwd', '{value}')"),
        ("a.in", "password = {value}", "password = {value}[1]"),
        ("a.in", "password = {value}", "password = get(hostinformation, 1)"),
        ("a.sh", 'test "$pass" = {value}', 'test "$pass" = dlpreopen'),
        ("a.rb", "login(credentials('{value}'))", "login(credentials('{value}', 'b'))"),
    ],
)
def test_an_argument_counts_where_a_call_keeps_it(path: str, kept: str, asked: str) -> None:
    assert reported(path, kept)
    assert not reported(path, asked)


@pytest.mark.parametrize(
    ("path", "secret", "other"),
    [
        ("a.yml", "password: {value}", "password: pbkdf2_sha256$30000$Vo0VlMnkR4Bk${value}"),
        ("a.yml", "password: {value}", "password: '$2b$12${value}'"),
        ("a.yml", "user_password: {hexadecimal}", "hashed_password: {hexadecimal}"),
        ("a.py", 'auth = "{value}"', 'auth = "SCRAM-SHA-256"'),
        ("a.java", 'String secretKey = "{value}";', 'String secretKey = "PBKDF2WithHmacSHA512";'),
        (
            "a.py",
            'auth = "Credential={value}"',
            'auth = "Credential={value}/20240107/us-east-1/s3/aws4_request"',
        ),
        ("a.js", "authentication: ['{value}']", "authentication: ['microsoftToDoOAuth2Api']"),
        ("a.js", "if (client.secret !== '{value}')", "if (client.secret !== 'undefined')"),
        ("a.yml", "token: {value}", "token: 2013-05-21T00:02:43.941473Z"),
        ("a.yml", "access_key: {value}", "access_key: {value}/settings.json"),
        ("a.mk", "OTP = {value}", "OTP = OTP-22.3.4+{value}"),
        ("a.css", "password:{value}", 'input[type="password"]:{value}'),
        ("a.js", "x = {{password:'{value}'}}", "x = y ? 'password':'{value}'"),
        ("a.js", "x = {{'password': '{value}'}}", "x = {{'password': '{value}' === z}}"),
        ("a.yml", "application_credential: {hexadecimal}", "application_credential_id: {hexadecimal}"),
        ("a.yml", "auth_token: {hexadecimal}", "creation_token: {hexadecimal}"),
        ("a.md", "-e MYSQL_PASSWORD={value}", "-e MYSQL_PASSWORD=jira_123456"),
        ("a.sh", "curl http://jim:{value}@a.net/", "curl http://jim:mypassword@a.net/"),
    ],
)
def test_a_notation_that_is_no_secret_is_left_alone(path: str, secret: str, other: str) -> None:
    assert reported(path, secret)
    assert not reported(path, other)


def test_the_id_of_an_access_key_is_half_of_a_credential() -> None:
    assert reported("a.yml", "access_key_id: {value}")
    assert not reported("a.yml", "access_user_id: {value}")
