"""Values behind telling names: the forms people write them in, what is left alone, floods and encodings."""

from __future__ import annotations

import base64
import dataclasses
import json

import analyzer_shapes as shapes
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.engine.detect import default_engine, find
from analyzer.engine.names import read_name
from analyzer.engine.privacy import Fingerprinter

KEY = Fingerprinter(b"a key of this test")
VALUE = shapes.text(shapes.ALPHANUMERIC, 18) + "7q"

FRENCH = "MotDePasse2"
"""The word for a password; behind its English name in a test it would be taken for one."""


def kinds(text: str | bytes, path: str = "config.yml") -> list[str]:
    content = text if isinstance(text, bytes) else text.encode()
    return [finding.rule for finding in default_engine().search(content, path, KEY).findings]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("a.py", 'db_password = "{}"'),
        ("a.py", 'DB_PASSWORD: str = "{}"'),
        ("a.py", "config['db_password'] = '{}'"),
        ("a.py", 'os.environ["DB_PASSWORD"] = "{}"'),
        ("a.js", "const dbPassword = '{}';"),
        ("a.ts", "login({{ user: 'jim', password: '{}' }})"),
        ("a.java", 'final String password = new StringCredentialValue("{}");'),
        ("a.go", '\tPassword: "{}",'),
        ("a.kt", 'const val TEST_PW: String = "{}"'),
        ("a.rb", '  password: "{}",'),
        ("a.php", "$conf['password'] = '{}';"),
        ("a.json", '  "password": "{}",'),
        ("a.json", '{{"name": "DB_PASSWORD", "value": "{}"}}'),
        ("a.yml", "password: {}"),
        ("a.yml", "- name: DB_PASSWORD\n  value: {}"),
        ("a.toml", 'password = "{}"'),
        (".env", "DB_PASSWORD={}"),
        ("a.tf", '  password = "{}"'),
        ("a.xml", "<password>{}</password>"),
        ("a.xml", '<add key="password" value="{}"/>'),
        ("a.sh", "export DB_PASSWORD={}"),
        ("a.sh", "tool --password {} --quiet"),
        ("a.sh", "tool --password={}"),
        ("a.sh", "curl -u admin:{} https://internal.net/"),
        ("a.sql", "CREATE ROLE app WITH PASSWORD '{}';"),
        ("a.ipynb", '    "password = \\"{}\\"\\n",'),
        ("a.properties", "spring.datasource.password={}"),
        ("Dockerfile", "FROM x\nENV DB_PASSWORD {}"),
        ("a.go", 'dsn := "postgres://app:{}@localhost/app"'),
    ],
)
def test_a_password_is_found_in_the_forms_people_write(path: str, line: str) -> None:
    assert kinds(line.format(VALUE), path) != []


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("a.py", "password = getpass.getpass()"),
        ("a.py", "token = tokens[index]"),
        ("a.py", 'password = os.getenv("DB_PASSWORD")'),
        ("a.py", 'def connect(secret: "SecretValue") -> None: ...'),
        ("a.py", 'if token == "function":'),
        ("a.yml", "password: ${{DB_PASSWORD}}"),
        ("a.yml", "password: <your-password>"),
        ("a.yml", "password: changeme"),
        ("a.json", '"sasl_scram512_auth": "saslScram512Auth"'),
        ("a.json", '"NextToken": "1w41l63U0xa8q7smH50vCxyTQqdxo69O3EmK28Bi5PcROI4wI"'),
        ("a.json", '"LABEL_NEW_PASSWORD": "Neues Passwort"'),
        ("a.json", '"password": "Contraseña"'),
        ("locales/fr.json", f'"password": "{FRENCH}"'),
        ("RECORD", "pkg/totp.py,sha256=m5LPpRL00kp4zY8gTjr55Hfz9aMlPS53kHmVkSQCmdY,1652"),
        ("a.yml", "uses: actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683"),
        (
            "a.json",
            '"integrity": "sha512-q/JSVd1Lptzhf5bkYm4ob4iWPjx0KiRe3sRFBNrVqbJkFaBm5vbbowy1mymoPNLRa52=="',
        ),
        ("a.py", "'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'"),
        ("a.md", "The password, or the token of the user, is asked for by the tool."),
        ("a.sql", "INSERT INTO t (id) VALUES (5b6962dd-3f90-4c93-8f61-eabfa4a803e2);"),
    ],
)
def test_what_is_no_secret_is_left_alone(path: str, line: str) -> None:
    assert kinds(line.replace("{{", "{").replace("}}", "}"), path) == []


def test_a_value_that_is_put_together_from_parts_is_one_value() -> None:
    token = shapes.with_checksum("ghp")
    for joint in ('"\n    "', '" + "', '" +\n  "', '" \\\n "'):
        assert kinds(f'token = "{token[:17]}{joint}{token[17:]}"', "a.py") == ["github-token"]


def test_base64_of_a_token_is_looked_into() -> None:
    encoded = base64.b64encode(shapes.with_checksum("ghp").encode()).decode()
    assert kinds(f'token: "{encoded}"') == ["github-token"]


def test_the_data_of_a_kubernetes_secret_is_decoded() -> None:
    entry = base64.b64encode(VALUE.encode()).decode()
    manifest = f"apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\ndata:\n  password: {entry}\n"
    engine = default_engine()
    (finding,) = engine.search(manifest.encode(), "secret.yaml", KEY).findings
    assert (finding.line, finding.secret_type) == (6, "Password")
    assert finding.fingerprint == KEY(VALUE.encode())
    entry, another = "password", "binary"
    assert kinds(manifest.replace("kind: Secret", "kind: ConfigMap").replace(entry, another)) == []


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_searched_with_and_without_its_mark(encoding: str) -> None:
    text = f"# settings of the service\npassword: {VALUE}\n"
    assert kinds(text.encode(encoding)) == ["generic-password"]


def test_invalid_utf_8_and_long_lines_do_not_hide_a_value() -> None:
    assert kinds(b'\xff\xfe\xfd password = "' + VALUE.encode() + b'"', "a.toml") == ["generic-password"]
    assert kinds("x; " * 400_000 + f'password = "{VALUE}"', "a.toml") == ["generic-password"]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "piece",
    [
        'password = "',
        "token: a ",
        "password(",
        "secret,",
        "://a:b@",
        "kind: Secret\ndata:\n",
        "<password>",
        "aA0-" * 50 + "key=",
    ],
)
def test_a_flood_is_cut_and_said_to_be_partly_searched(piece: str) -> None:
    search = default_engine().search(piece.encode() * (3_000_000 // len(piece)), "a.yml", KEY)
    assert len(search.findings) <= 5_000


def test_what_was_cut_is_said() -> None:
    few = default_engine().search(f"password: {VALUE}\n".encode() * 300, "a.yml", KEY, limit=100)
    assert not few.complete


def test_a_finding_says_why_and_holds_no_value() -> None:
    (finding,) = default_engine().search(f"password: {VALUE}".encode(), "a.yml", KEY).findings
    assert finding.reasons
    assert 0.5 < finding.probability < 1
    said = repr(finding) + json.dumps(finding.as_dict()) + repr(dataclasses.astuple(finding))
    assert VALUE not in said
    assert VALUE[:6] not in said


def test_candidates_show_no_value() -> None:
    located = default_engine().locator.locate(f"password: {VALUE}".encode(), "a.yml")
    (candidate,) = located.candidates
    assert candidate.value == VALUE.encode()
    assert VALUE not in repr(candidate)
    assert VALUE not in repr(located)


@pytest.mark.parametrize(
    ("name", "kind", "last"),
    [
        ("db_password", "password", True),
        ("dbPassword", "password", True),
        ("PGPASSWORD", "password", True),
        ("password_length", "password", False),
        ("apiKey", "key", True),
        ("sortKey", None, False),
        ("tokenizer", None, False),
        ("author", None, False),
        ("bypass", None, False),
        ("clientSecret", "secret", True),
    ],
)
def test_names_are_taken_apart(name: str, kind: str | None, last: bool) -> None:
    read = read_name(name)
    assert (read.kind, read.last) == (kind, last)


@settings(max_examples=200, deadline=None)
@given(
    st.text(max_size=60),
    st.sampled_from(['password = "', "token: ", "://u:", "<secret>"]),
    st.text(max_size=60),
)
def test_anything_around_a_name_can_be_searched(before: str, name: str, after: str) -> None:
    content = (before + name + after).encode(errors="surrogatepass")
    search = default_engine().search(content, "a.yml", KEY)
    assert all(1 <= finding.line <= content.count(b"\n") + 1 for finding in search.findings)


@pytest.mark.parametrize(
    ("path", "line"),
    [
        pytest.param("a.py", "# use the --password options instead of the URL", id="option-in-prose"),
        pytest.param("a.py", '"AUTH <password> called without any password "', id="element-in-prose"),
        pytest.param("a.md", "a switch supports Basic IGMPv3SnoopingSupport (BISS)", id="scheme-in-prose"),
        pytest.param("a.yml", "l2_auth_type: WPA2_WPA3_PERSONAL", id="type"),
        pytest.param("a.py", f'auth_username="{VALUE}"', id="username"),
        pytest.param("a.py", f'oauth_nonce="{VALUE}"', id="nonce"),
        pytest.param("a.py", "SECRET_UUID = '2a0a0d6c-babf-454d-b93e-9ac9957b95e0'", id="uuid"),
        pytest.param("a.env", "TINI_GPG_KEY=595E85A6B1B4779EA4DAAEC70B588DFF0527A9B7", id="openpgp"),
        pytest.param("a.py", '@type_token("aws:ec2/flowLog:FlowLog")', id="namespaced"),
        pytest.param("a.yml", '"password": hostvars[array]["eseries_password_1"]', id="index"),
        pytest.param("a.json", '"refresh_token":"tGzv3JOkF0XG5Qx2TlKWIA"', id="published"),
        pytest.param("a.txt", "Authorization: AWS4-HMAC-SHA256 Credential=a/b", id="scheme"),
    ],
)
def test_what_only_looks_like_a_secret_is_none(path: str, line: str) -> None:
    assert not find(f"{line}\n".encode(), path, KEY)


@pytest.mark.parametrize(
    ("path", "line"),
    [
        pytest.param("a.sh", f"mysql --password {VALUE} shop", id="option"),
        pytest.param("a.xml", f"<password>{VALUE}</password>", id="element"),
        pytest.param("a.txt", f"Authorization: Basic {VALUE}qw==", id="scheme"),
        pytest.param("a.env", f"TINI_API_KEY={VALUE}", id="key"),
        pytest.param("a.py", f'credentials["a"] = login(password="{VALUE}")', id="index"),
    ],
)
def test_a_secret_in_the_same_place_is_found(path: str, line: str) -> None:
    assert find(f"{line}\n".encode(), path, KEY)
