"""Ports and secrets that a platform chooses once."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from local_platform.errors import PlatformError
from local_platform.kept import FIRST_PORT, LAST_PORT, Ports, Secrets, is_free, write_private


def test_ports_are_chosen_once_and_kept(tmp_path: Path) -> None:
    first = Ports(tmp_path / "ports.json")
    first.choose(["gateway", "inbox"])
    later = Ports(tmp_path / "ports.json")
    later.choose(["gateway", "inbox", "node"])

    assert later["gateway"] == first["gateway"]
    assert later["inbox"] == first["inbox"]
    assert len({later["gateway"], later["inbox"], later["node"]}) == 3


def test_ports_lie_below_those_of_outgoing_connections(tmp_path: Path) -> None:
    ports = Ports(tmp_path / "ports.json")
    ports.choose([f"port-{number}" for number in range(20)])

    assert all(FIRST_PORT <= ports[f"port-{number}"] < LAST_PORT < 32768 for number in range(20))


def test_a_port_with_a_listener_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not is_free(port)
    assert is_free(port)


def test_a_secret_stays_the_same_for_the_next_process(tmp_path: Path) -> None:
    made = Secrets(tmp_path / "secrets.json")["slack"]

    assert Secrets(tmp_path / "secrets.json")["slack"] == made
    assert len(made) >= 32


def test_two_holders_of_the_file_do_not_lose_each_others_secrets(tmp_path: Path) -> None:
    one, other = Secrets(tmp_path / "secrets.json"), Secrets(tmp_path / "secrets.json")
    first, second = one["first"], other["second"]

    both = Secrets(tmp_path / "secrets.json")
    assert (both["first"], both["second"]) == (first, second)


def test_what_is_kept_can_be_read_by_its_owner_only(tmp_path: Path) -> None:
    write_private(tmp_path / "file", "secret")

    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


def test_a_damaged_file_is_named_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "ports.json").write_text("{", encoding="utf-8")

    with pytest.raises(PlatformError, match=r"ports\.json is damaged .*make reset"):
        Ports(tmp_path / "ports.json")


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match=r"cannot write .*: No such file"):
        write_private(tmp_path / "absent" / "file", "text")
