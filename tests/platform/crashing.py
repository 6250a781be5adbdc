"""One case of the crash matrix: a holder comes to its point, something is hit, all is looked at."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from time import monotonic

import crash_holder
from crash_cases import Case, Victim
from own_platform import WITHOUT_AIRFLOW, OwnPlatform
from releasing import Place, done, until

from local_platform.parts import PARTS
from platform_ops.core.errors import OpsError, TemporaryError
from platform_ops.core.plan import Step
from platform_ops.core.records import Entry
from platform_ops.core.release import Colour, Release, Weights
from platform_ops.core.state import Phase

STEPS = (Step(25, timedelta(seconds=1)), Step(100, timedelta(0)))
RATE = 40
"""Requests a second: enough for the triggers at 25 %."""
USED = "/api/metrics"
"""What users ask for: a bad release fails it for them, and not for the checks of its preview."""
AWAY = 3.0
"""Seconds for which a part stays dead while the holder goes on."""
PARTS_OF = {Victim.GATEWAY: "gateway", Victim.API_SERVER: "cluster", Victim.POSTGRESQL: "postgres"}
ONCE = ("Deploy", "Shift", "RemoveNew", "Reclaim")


@dataclass
class Struck:
    """What a case left behind, for the judgement and the page."""

    old: Release
    old_colour: Colour
    new: Release
    rollout_id: str
    weights: list[Weights] = field(default_factory=list)
    requests: int = 0
    failed: int = 0
    takeover: float | None = None


async def strike(platform: OwnPlatform, place: Place, case: Case) -> Struck:
    """Roll the case's release out, hit its victim at its point, and wait until the rollout is over."""
    old, old_colour = await place.serving()
    new = await place.built(case.defect)
    rollout_id = await place.open(new, steps=STEPS)
    struck = Struck(old, old_colour, new, rollout_id)
    async with weights_into(place, struck.weights), place.traffic(RATE, USED) as traffic:
        with _holder(platform, rollout_id, case) as holder:
            await _reached(holder)
            token = (await place.desk.ledger.rollouts.get(rollout_id)).token
            hit = monotonic()
            await _hit(platform, place, struck, case.victim, holder)
            if case.victim is Victim.EVERYTHING:
                hit = monotonic()  # Nobody can take over before something runs again.
            await until("the rollout is over", lambda: _over(place, struck, token, hit), limit=180)
            if case.victim not in (Victim.HOLDER, Victim.EVERYTHING):
                code = await asyncio.to_thread(holder.wait, 60)
                assert code == 0, f"the holder ended with {code}"
        await asyncio.sleep(0.5)
    struck.requests, struck.failed = len(traffic.records), len(traffic.failed)
    return struck


async def _hit(
    platform: OwnPlatform, place: Place, struck: Struck, victim: Victim, holder: subprocess.Popen[bytes]
) -> None:
    if victim is Victim.EVERYTHING:
        await asyncio.to_thread(kill_everything, platform)
        await asyncio.to_thread(platform.up, *WITHOUT_AIRFLOW, "controller")
    elif victim is Victim.FROZEN:
        before = (await place.desk.ledger.rollouts.get(struck.rollout_id)).token
        await until("the standby has taken over", lambda: _token_above(place, struck.rollout_id, before))
        holder.send_signal(signal.SIGCONT)
    elif victim is Victim.STANDBY:
        await asyncio.to_thread(platform.kill, "controller")
        holder.send_signal(signal.SIGCONT)
        await asyncio.to_thread(holder.wait, 120)
        await asyncio.to_thread(platform.up, "controller")
    elif victim is not Victim.HOLDER:
        part = PARTS_OF[victim]
        await asyncio.to_thread(platform.kill, part)
        holder.send_signal(signal.SIGCONT)
        await asyncio.sleep(AWAY)
        await asyncio.to_thread(platform.up, *WITHOUT_AIRFLOW, "controller")


# -------------------------------------------------------------------- the holder's process
@contextmanager
def _holder(platform: OwnPlatform, rollout_id: str, case: Case) -> Iterator[subprocess.Popen[bytes]]:
    number = signal.SIGKILL if case.victim in (Victim.HOLDER, Victim.EVERYTHING) else signal.SIGSTOP
    words = [rollout_id, case.point.label, str(case.point.nth), number.name]
    environment = {**platform.supervisor.platform.environment(), **platform.settings}
    with (platform.state / "logs" / "holder.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, str(Path(crash_holder.__file__)), *words],
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(20)


async def _reached(holder: subprocess.Popen[bytes]) -> None:
    """The holder is stopped at its point, or died there by its own signal."""

    async def there() -> bool:
        if holder.poll() is not None:
            assert holder.returncode == -signal.SIGKILL, f"the holder ended with {holder.returncode}"
            return True
        return _state(holder.pid) == "T"

    await until("the holder comes to its point", there, limit=120)


def _state(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[0]


# -------------------------------------------------------------------- looking
@asynccontextmanager
async def weights_into(place: Place, seen: list[Weights]) -> AsyncIterator[None]:
    """Every state of the route that a look four times a second sees; an API server that is away shows none.
    A route whose weights do not sum to 100 cannot be read as `Weights` and fails the case."""

    async def look() -> None:
        while True:
            try:
                weights = (await place.desk.router.observe(place.target)).weights
            except TemporaryError:
                pass  # The API server is the victim: there is nothing to see.
            else:
                if not seen or seen[-1] != weights:
                    seen.append(weights)
            await asyncio.sleep(0.25)

    looking = asyncio.create_task(look())
    try:
        yield
    finally:
        looking.cancel()
        outcome = await asyncio.gather(looking, return_exceptions=True)
        if not isinstance(outcome[0], asyncio.CancelledError):
            raise outcome[0]


async def _over(place: Place, struck: Struck, token: int, hit: float) -> bool:
    try:
        rollout = await place.desk.ledger.rollouts.get(struck.rollout_id)
    except OpsError:
        return False
    if struck.takeover is None and rollout.token > token:
        struck.takeover = monotonic() - hit
    return rollout.phase in (Phase.ROLLED_BACK, Phase.NEEDS_ATTENTION) or rollout.phase.reached(
        Phase.PROMOTED
    )


async def _token_above(place: Place, rollout_id: str, token: int) -> bool:
    return (await place.desk.ledger.rollouts.get(rollout_id)).token > token


def kill_everything(platform: OwnPlatform) -> None:
    """SIGKILL to each part, without a pause between them."""
    running = [part.name for part in PARTS if platform.pids(part.name)]
    for name in running:
        platform.send(name, signal.SIGKILL)
    for name in running:
        if platform.pids(name):
            platform.kill(name)


# -------------------------------------------------------------------- judging
async def judge(place: Place, bad: bool, struck: Struck) -> list[str]:
    """What must hold whatever died; what does not, in words."""
    rollout = await place.desk.ledger.rollouts.get(struck.rollout_id)
    promoted = rollout.phase.reached(Phase.PROMOTED)
    serves, release = (rollout.colour, struck.new) if promoted else (struck.old_colour, struck.old)
    journal = await place.journal(struck.rollout_id)
    problems = []
    if rollout.phase is Phase.NEEDS_ATTENTION:
        problems.append(f"it needs attention: {rollout.reason}")
    if bad and promoted:
        problems.append("a bad release was promoted")
    if place.weights() != Weights.towards(serves, 100):
        problems.append(f"the route says {place.weights()}, and {serves} should serve")
    if (answers := set(await place.colours())) != {f"{serves} 200"}:
        problems.append(f"users get {sorted(answers)}")
    if (digest := place.deployments().get(place.target.deployment(serves))) != release.digest:
        problems.append(f"{serves} runs {digest}, not {release.digest}")
    return [*problems, *_of_journal(journal)]


def _of_journal(journal: tuple[Entry, ...]) -> list[str]:
    """No effect twice, and nobody acts after a newer holder did."""
    problems = []
    for act in ONCE:
        words = [entry.why for entry in done(journal, act)]
        problems += [f"{act} twice: {word}" for word in set(words) if words.count(word) > 1]
    tokens = [entry.token for entry in journal if entry.token]
    if tokens != sorted(tokens):
        problems.append(f"a stale holder wrote after a newer one: tokens {tokens}")
    return problems


def holders(journal: tuple[Entry, ...]) -> tuple[str, ...]:
    """Who acted, in order, each once for as long as it held."""
    seen: list[str] = []
    for entry in journal:
        if entry.kind != "note" and (not seen or seen[-1] != entry.actor):
            seen.append(entry.actor)
    return tuple(seen)
