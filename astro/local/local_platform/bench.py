"""What the platform costs: memory (PSS, shared pages counted once) and processor time of each part."""

from __future__ import annotations

import contextlib
import os
import re
import time
from pathlib import Path

from local_platform.processes import Process
from local_platform.supervisor import Supervisor

LIMIT_MIB = 3072
TICKS = os.sysconf("SC_CLK_TCK")


def measure(supervisor: Supervisor, seconds: float) -> str:
    """Watch the running parts for some seconds; returns a table with MiB of PSS and % of one core."""
    parts = [one.part for one in supervisor.status() if one.state != "down"]
    before = {part.name: cpu_seconds(supervisor.members(part)) for part in parts}
    begin = time.monotonic()
    time.sleep(seconds)
    lines, total_memory, total_cpu = (
        [f"{'part':24}{'processes':>10}{'PSS MiB':>10}{'% of a core':>13}"],
        0.0,
        0.0,
    )
    for part in parts:
        members = supervisor.members(part)
        memory = sum(pss_mib(process) for process in members)
        cpu = max(0.0, cpu_seconds(members) - before[part.name]) / (time.monotonic() - begin) * 100
        total_memory, total_cpu = total_memory + memory, total_cpu + cpu
        lines.append(f"{part.name:24}{len(members):10}{memory:10.0f}{cpu:13.1f}")
    lines.append(f"{'all':24}{'':10}{total_memory:10.0f}{total_cpu:13.1f}   (limit {LIMIT_MIB} MiB)")
    return "\n".join(lines)


def pss_mib(process: Process) -> float:
    """Proportional set size: private pages and this process's share of the shared ones."""
    with contextlib.suppress(OSError):
        rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii")
        found = re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)
        return int(found[1]) / 1024 if found else 0.0
    return 0.0


def cpu_seconds(members: list[Process]) -> float:
    """User and system time so far, ended children included (their time is added to their parent's)."""
    total = 0
    for process in members:
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8", errors="replace")
            total += sum(int(ticks) for ticks in text[text.rindex(")") + 2 :].split()[11:15])
    return total / TICKS
