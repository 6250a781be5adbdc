"""Each rule finds what its vendor issues and leaves look-alikes alone; nothing ever holds the value."""

from __future__ import annotations

import dataclasses

import analyzer_shapes as shapes
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.engine.checks import base62_crc32
from analyzer.engine.detect import Finding, find, judge
from analyzer.engine.privacy import Fingerprinter
from analyzer.engine.rules import RULES

KEY = Fingerprinter(b"a key of this test")


SLOW = {"private-key", "encoded-private-key"}


def found(text: str | bytes) -> list[str]:
    return [f.rule for f in find(text if isinstance(text, bytes) else text.encode(), "file", KEY)]


def test_every_rule_has_a_maker_of_positives() -> None:
    assert {rule.id for rule in RULES} == set(shapes.POSITIVES)


@pytest.mark.parametrize("rule", shapes.POSITIVES)
@pytest.mark.parametrize(
    "line",
    [
        pytest.param("{}", id="alone"),
        pytest.param('token = "{}"\n', id="python"),
        pytest.param("curl -H 'Authorization: Bearer {}' https://x\n", id="header"),
        pytest.param("export TOKEN={}\n# next\n", id="shell"),
    ],
)
def test_a_rule_finds_its_format_wherever_it_stands(rule: str, line: str) -> None:
    # A random body can, once in a while, be too regular for the check: what is asked is that the rule fires.
    made = [found(line.format(shapes.POSITIVES[rule]())) for _ in range(1 if rule in SLOW else 5)]
    assert made.count([rule]) >= len(made) - 1
    assert [rule] in made


@pytest.mark.parametrize("kind", ["rsa", "ec", "openssh", "encrypted"])
def test_private_keys_are_parsed_also_inside_of_a_json_string(kind: str) -> None:
    pem = shapes.pem(kind)
    assert found(pem) == ["private-key"]
    assert found("\n".join(f'    "{line}" +' for line in pem.splitlines())) == ["private-key"]
    assert found('{"key": "' + pem.replace("\n", "\\n") + '"}') == ["private-key"]


def damaged(token: str) -> str:
    """The token with one character of its body exchanged."""
    position = len(token) - 10
    return token[:position] + ("B" if token[position] == "A" else "A") + token[position + 1 :]


@pytest.mark.parametrize("rule", ["github-token", "npm-token", "age-secret-key"])
def test_a_token_whose_checksum_does_not_hold_is_no_finding(rule: str) -> None:
    token = shapes.POSITIVES[rule]()
    assert found(damaged(token)) == []


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("AKIA" + "IOSFODNN7EXAMPLE", id="aws-documentation"),
        pytest.param("ghp_" + "x" * 36, id="filled-up"),
        pytest.param("sk_test_" + shapes.text(shapes.ALPHANUMERIC, 24), id="stripe-test-key"),
        pytest.param("glpat-" + "your-token-goes-here", id="spelled-out"),
        pytest.param("postgresql://user:password@localhost/db", id="placeholder-password"),
        pytest.param("postgresql://app:${DB_PASSWORD}@db.internal.net/app", id="variable"),
        pytest.param("https://user:S3cr3tS3cr3t@www.example.com/", id="documentation-host"),
        pytest.param(
            "-----BEGIN " + "PRIVATE KEY-----\n" + "A" * 300 + "\n-----END " + "PRIVATE KEY-----", id="no-key"
        ),
        pytest.param(shapes.jwt("none"), id="unsigned-jwt"),
        pytest.param("eyJhbGciOi" + "." + "eyJzdWIiOiIx" + "." + "a" * 43, id="no-json-in-jwt"),
        pytest.param("a" + shapes.with_checksum("ghp"), id="part-of-a-longer-word"),
        pytest.param("pypi-AgEIcHlwaS5vcmc" + "A" * 80, id="no-macaroon"),
    ],
)
def test_a_look_alike_is_no_finding(text: str) -> None:
    assert found(text) == []


def test_the_checksum_is_the_one_that_the_vendor_publishes() -> None:
    # The example of GitHub's documentation, in two parts, since it is formed like a real token.
    body = b"zQWBuTSOoRi4A9spHcVY" + b"5ncnsDkxkJ"
    assert base62_crc32(body) == b"0mLq17"


def test_utf_16_files_are_searched() -> None:
    assert found(f"key={shapes.with_checksum('ghp')}".encode("utf-16")) == ["github-token"]


def test_a_line_of_a_million_characters_is_searched_to_its_end() -> None:
    assert found("a;" * 500_000 + " " + shapes.with_checksum("ghp")) == ["github-token"]


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "piece",
    [
        pytest.param("-----BEGIN " + "PRIVATE KEY-----\n", id="begin-lines"),
        pytest.param("-----BEGIN " + "PRIVATE KEY-----" + "A" * 5000, id="keys-without-end"),
        pytest.param("eyJ" + "a" * 12 + ".", id="jwt-parts"),
        pytest.param("-eyJ", id="jwt-starts"),
        pytest.param("pypi-AgEIcHlwaS5vcmc-", id="macaroon-starts"),
        pytest.param("https://a:", id="addresses"),
        pytest.param("sk-" + "a" * 30 + "T3BlbkFJ", id="middle-parts"),
        pytest.param("AccountKey=", id="storage-keys"),
    ],
)
def test_hostile_repetition_takes_linear_time(piece: str) -> None:
    assert found(piece * (2_000_000 // len(piece))) == []


def test_findings_name_the_line_and_hold_no_value() -> None:
    token = shapes.with_checksum("ghp")
    (finding,) = find(f"one\ntwo\nthree {token}\n".encode(), "a.py", KEY, "c0ffee")
    assert (finding.path, finding.line, finding.commit) == ("a.py", 3, "c0ffee")
    assert finding.redacted == "ghp_…(40 characters)"
    assert token not in repr(dataclasses.astuple(finding))
    assert token[4:12] not in repr(dataclasses.astuple(finding))


class TestFingerprint:
    def test_is_the_same_for_the_same_value_and_key(self) -> None:
        assert Fingerprinter(b"k")(b"value") == Fingerprinter(b"k")(b"value")

    def test_differs_by_key_and_names_the_key(self) -> None:
        one, two = Fingerprinter(b"k1"), Fingerprinter(b"k2")
        assert one(b"value") != two(b"value")
        assert one(b"value").startswith(f"{one.key_id}:")

    def test_the_key_is_not_in_its_representation(self) -> None:
        assert "k1secret" not in repr(Fingerprinter(b"k1secret"))


class TestJudge:
    @pytest.mark.parametrize("rule", [rule for rule in shapes.POSITIVES if rule != "azure-storage-key"])
    def test_a_value_of_a_vendor_format_is_a_secret_whatever_its_name(self, rule: str) -> None:
        verdict = judge(shapes.POSITIVES[rule](), "", "greeting", KEY)
        assert verdict.is_secret
        assert verdict.probability > 0.9
        assert verdict.reasons

    @pytest.mark.parametrize(
        ("value", "name", "is_secret"),
        [
            pytest.param("q8Zr1vN4xT7wLm2p", "db_password", True, id="random-and-named"),
            pytest.param("q8Zr1vN4xT7wLm2p", "databasePassword", True, id="camel-case"),
            pytest.param("q8Zr1vN4xT7wLm2p", "commit", False, id="random-only"),
            pytest.param("sk-test", "key", False, id="the-seeds-example"),
            pytest.param("changeme", "password", False, id="placeholder"),
            pytest.param("", "password", False, id="empty"),
            pytest.param("a sentence about tokens and so on", "token_help", False, id="a-sentence"),
        ],
    )
    def test_a_value_without_format_is_judged_by_name_and_randomness(
        self, value: str, name: str, is_secret: bool
    ) -> None:
        assert judge(value, "", name, KEY).is_secret is is_secret

    @given(st.text(max_size=300), st.text(max_size=50), st.text(max_size=50))
    def test_any_text_gets_a_verdict_that_does_not_repeat_it(
        self, value: str, context: str, name: str
    ) -> None:
        verdict = judge(value, context, name, KEY)
        assert 0 <= verdict.probability <= 1
        if len(value) > 12 and not value.isascii():
            assert value not in repr(verdict)


@given(st.binary(max_size=2000))
def test_any_bytes_can_be_searched(content: bytes) -> None:
    assert all(isinstance(finding, Finding) for finding in find(content, "file", KEY))
