"""The second opinion, against a local server of its protocol: what it is sent, and what its answers do."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from analyzer_clients import KEYS
from analyzer_servers import running

from analyzer.cli import main
from analyzer.engine.classifier import packaged_classifier
from analyzer.engine.detect import Engine, default_engine
from analyzer.engine.privacy import Fingerprinter
from analyzer.engine.second_opinion import SecondOpinion, masked
from analyzer.service import detection
from analyzer.service.app import create_app
from analyzer.settings import Settings, SettingsError

KEY = Fingerprinter(b"k")
VALUE, OTHER = "h7Gk2Lw9Qz4Xv8Rn", "Tb5Zq81mNcc02LpV"
LINE = f'connect("{OTHER}", password="{VALUE}")'


def said(probability: object) -> bytes:
    content = json.dumps({"probability": probability})
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]}).encode()


@contextmanager
def endpoint(answer: Callable[[], tuple[int, bytes]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A chat completions endpoint; yields its base address and what it was sent."""
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append({"path": self.path, "key": self.headers["Authorization"], "body": body})
            status, content = answer()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def engine(url: str, **settings: Any) -> Engine:
    opinion = SecondOpinion(url, "judge-1", uncertain=(0.0, 1.0), **settings)
    return Engine(packaged_classifier(), default_engine().locator, opinion)


def probability(engine: Engine) -> float:
    return engine.judge(VALUE, LINE, "password", KEY).probability


def test_it_is_off_unless_it_is_configured() -> None:
    assert default_engine().opinion is None


def test_the_endpoint_is_asked_in_its_protocol_and_moves_the_probability() -> None:
    alone = probability(default_engine())
    with endpoint(lambda: (200, said(0.0))) as (url, asked):
        assert probability(engine(url, api_key="a-key")) == pytest.approx(alone / 2, abs=1e-3)
    (question,) = asked
    assert (question["path"], question["key"]) == ("/v1/chat/completions", "Bearer a-key")
    assert question["body"]["model"] == "judge-1"
    assert [message["role"] for message in question["body"]["messages"]] == ["system", "user"]


def test_neither_the_value_nor_another_string_of_its_line_leaves() -> None:
    with endpoint(lambda: (200, said(0.5))) as (url, asked):
        engine(url).search(LINE.encode(), "a.py", KEY)
    sent = json.dumps(asked[0]["body"])
    assert VALUE not in sent
    assert OTHER not in sent
    assert VALUE[:5] not in sent
    assert masked(VALUE) in sent


@pytest.mark.parametrize(
    ("status", "content"),
    [
        pytest.param(500, b"", id="server-error"),
        pytest.param(200, b"no JSON", id="no-json"),
        pytest.param(200, b'{"choices": []}', id="no-choice"),
        pytest.param(200, said("very"), id="no-number"),
        pytest.param(200, said(7), id="out-of-range"),
        pytest.param(200, said(True), id="a-truth-value"),
    ],
)
def test_an_answer_that_cannot_be_read_leaves_the_verdict(status: int, content: bytes) -> None:
    with endpoint(lambda: (status, content)) as (url, asked):
        assert probability(engine(url)) == probability(default_engine())
    assert asked


def test_a_late_answer_leaves_the_verdict() -> None:
    released = threading.Event()

    def late() -> tuple[int, bytes]:
        released.wait(20)
        return 200, said(0.0)

    with endpoint(late) as (url, _):
        begin = time.monotonic()
        assert probability(engine(url, timeout=0.2)) == probability(default_engine())
        waited = time.monotonic() - begin
        released.set()
    # It did not wait for the answer, which comes after twenty seconds.
    assert waited < 20


def test_an_endpoint_that_is_away_leaves_the_verdict() -> None:
    with endpoint(lambda: (200, said(0.0))) as (url, _):
        pass
    assert probability(engine(url)) == probability(default_engine())


def test_questions_are_bounded_for_each_content() -> None:
    content = f"password: {VALUE}\n".encode() * 50
    with endpoint(lambda: (200, said(0.9))) as (url, asked):
        engine(url, most=3).search(content, "a.yml", KEY)
    assert len(asked) == 3


def test_an_address_of_another_scheme_is_refused() -> None:
    with pytest.raises(ValueError, match="http"):
        SecondOpinion("file:///etc/passwd", "judge-1")


def test_an_endpoint_that_gives_no_answer_is_asked_once_for_each_content() -> None:
    content = f"password: {VALUE}\n".encode() * 50
    with endpoint(lambda: (503, b"")) as (url, asked):
        search = engine(url).search(content, "a.yml", KEY)
    assert len(asked) == 1
    assert search == default_engine().search(content, "a.yml", KEY)


UNSURE = "river77"
UNCERTAIN = {"secret_value": UNSURE, "context": "", "variable_name": "user_password"}


def variables(url: str) -> dict[str, str]:
    return {
        "ANALYZER_SECOND_OPINION_URL": url,
        "ANALYZER_SECOND_OPINION_MODEL": "judge-1",
        "ANALYZER_SECOND_OPINION_KEY": "a-key",
    }


async def test_the_service_asks_about_what_is_uncertain_and_sends_no_value() -> None:
    with endpoint(lambda: (200, said(0.0))) as (url, asked):
        async with running(create_app(Settings.from_environment({}))) as client:
            alone = (await client.post("/analyze", json=UNCERTAIN, headers=KEYS)).json()
        assert not asked
        async with running(create_app(Settings.from_environment(variables(url)))) as client:
            verdict = (await client.post("/analyze", json=UNCERTAIN, headers=KEYS)).json()
            certain = UNCERTAIN | {"secret_value": "changeme"}
            (await client.post("/analyze", json=certain, headers=KEYS)).raise_for_status()
            version = (await client.get("/version")).json()["model_version"]
    (question,) = asked
    assert question["key"] == "Bearer a-key"
    assert UNSURE not in json.dumps(question["body"])
    assert verdict["probability"] == pytest.approx(alone["probability"] / 2, abs=1e-3)
    # Verdicts that a second opinion may have moved are no other version's in the cache.
    assert verdict["model_version"] == version != alone["model_version"]


async def test_a_verdict_without_the_opinion_that_was_wanted_is_not_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(detection, "PAUSE", 0.0)
    answers = iter([(503, b""), (200, said(0.0))])
    with endpoint(lambda: next(answers)) as (url, asked):
        async with running(create_app(Settings.from_environment(variables(url)))) as client:
            alone, moved, kept = [
                (await client.post("/analyze", json=UNCERTAIN, headers=KEYS)).json() for _ in range(3)
            ]
    assert moved["probability"] == pytest.approx(alone["probability"] / 2, abs=1e-3)
    assert kept == moved
    assert len(asked) == 2


async def test_an_endpoint_that_is_away_is_left_in_peace_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detection, "PAUSE", 3600.0)
    values = [UNCERTAIN | {"secret_value": f"river7{number}"} for number in range(5)]
    with endpoint(lambda: (503, b"")) as (url, asked):
        async with running(create_app(Settings.from_environment({}))) as client:
            alone = (await client.post("/analyze/batch", json={"items": values}, headers=KEYS)).json()
        async with running(create_app(Settings.from_environment(variables(url)))) as client:
            given = (await client.post("/analyze/batch", json={"items": values}, headers=KEYS)).json()
    assert len(asked) == 1
    assert [v["probability"] for v in given["results"]] == [v["probability"] for v in alone["results"]]


def test_the_scan_asks_when_it_is_configured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.yml").write_text(f"user_password: {UNSURE}\n")
    with endpoint(lambda: (200, said(1.0))) as (url, asked):
        for name, text in variables(url).items():
            monkeypatch.setenv(name, text)
        main(["scan", str(tmp_path), "--format", "json"])
    assert UNSURE not in json.dumps(asked[0]["body"])
    assert "+opinion-" in json.loads(capsys.readouterr().out)["model_version"]


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        pytest.param({"ANALYZER_SECOND_OPINION_MODEL": ""}, "_MODEL", id="no-model"),
        pytest.param({"ANALYZER_SECOND_OPINION_URL": "file:///etc/passwd"}, "_URL", id="no-http"),
        pytest.param({"ANALYZER_SECOND_OPINION_TIMEOUT": "0"}, "_TIMEOUT", id="no-time"),
        pytest.param({"ANALYZER_SECOND_OPINION_TIMEOUT": "2s"}, "_TIMEOUT", id="no-number"),
        pytest.param({"ANALYZER_SECOND_OPINION_TIMEOUT": "31"}, "_TIMEOUT", id="too-long"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(
    changed: dict[str, str], word: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    env = variables("http://127.0.0.1:1/v1") | changed
    with pytest.raises(SettingsError, match=word):
        Settings.from_environment(env)
    for name, text in env.items():
        monkeypatch.setenv(name, text)
    assert main(["scan", "."]) == 2
    assert word in capsys.readouterr().err
