"""`make demo`: tell the story, prove it, write the report. Exit code 0 only if everything is proven."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from time import localtime, strftime

from local_platform.cli import Printer
from local_platform.demo import proof
from local_platform.demo.load import read_records, summarise
from local_platform.demo.report import Proof, Story, write_report
from local_platform.demo.story import NAMESPACE, RATE, SERVICE, Demonstration, Version
from local_platform.demo.versions import Fault
from local_platform.demo.watch import ClusterView, read_weights
from local_platform.errors import PlatformError
from local_platform.layout import Layout
from local_platform.supervisor import Supervisor

STEPS = (5, 25, 50, 100)


def main() -> int:
    try:
        fault = Fault(os.environ["FAULT"]) if os.environ.get("FAULT") else None
    except ValueError:
        print(f"demo: FAULT is one of {', '.join(Fault)}, not {os.environ['FAULT']!r}", file=sys.stderr)
        return 2
    by_hand = os.environ.get("APPROVE", "") == "by-hand"
    layout = Layout.from_environment()
    os.environ.setdefault("PLATFORM_OPS_CATALOG", str(layout.root / "astro" / "local" / "services.yaml"))
    supervisor = Supervisor(layout, Printer())
    try:
        supervisor.up([])
        folder = layout.data("demo") / strftime("%Y%m%d-%H%M%S", localtime())
        folder.mkdir()
        demonstration = Demonstration(supervisor.platform, folder, by_hand=by_hand)
        first, second = asyncio.run(demonstration.tell(fault))
        story = asyncio.run(_judge(demonstration, first, second, fault))
    except PlatformError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted; `make demo` starts a new telling on the same platform", file=sys.stderr)
        return 130
    report = folder / "report.html"
    write_report(story, report)
    _print_end(story, report)
    return 0 if story.proven else 1


async def _judge(demonstration: Demonstration, first: Version, second: Version, fault: Fault | None) -> Story:
    records = read_records(demonstration.load_records)
    weights = read_weights(demonstration.weights_seen)
    platform = demonstration.platform
    view = ClusterView(platform.layout.state / "kube" / "controller.yaml", "production")
    live = "green" if weights and weights[-1].green == 100 else "blue"
    digest = await view.digest(NAMESPACE, SERVICE, live) or ""
    await view.close()
    expected = first if fault else second
    built = demonstration.built_digest(expected.commit)
    proofs: list[Proof] = [proof.same_artefact(built, digest)]
    audit = demonstration.ops("audit", SERVICE)
    proofs += [proof.approvals_recorded(audit, digest, where) for where in ("staging", "production")]
    if fault is None:
        proofs += [proof.gradual(weights, STEPS, second.began), proof.nothing_failed(records)]
    else:
        proofs.append(proof.traffic_is_on(live, weights, records))
        run = second.production
        proofs += proof.rolled_back(audit, run.run_id, run.state)
        proofs.append(proof.paged_once(await demonstration.messages(), run.run_id))
    return Story(
        title=_title(first, second, fault),
        events=demonstration.told.events,
        proofs=proofs,
        weights=weights,
        load=summarise(records),
        links=demonstration.links(second),
    )


def _title(first: Version, second: Version, fault: Fault | None) -> str:
    names = f"{SERVICE} {first.commit.version} and {second.commit.version}"
    if fault:
        return f"{names}: the second has {fault} and goes back, under {RATE} requests/s"
    return f"{names}: from a commit to all of production's traffic, under {RATE} requests/s"


def _print_end(story: Story, report: Path) -> None:
    print(f"\n{story.title}\n")
    for one in story.proofs:
        print(f"  {'proven    ' if one.holds else 'NOT PROVEN'}  {one.claim}: {one.seen}")
    print("\nLook at:")
    for label, address in (("Report", report.as_uri()), *story.links):
        print(f"  {label}: {address}")


if __name__ == "__main__":
    sys.exit(main())
