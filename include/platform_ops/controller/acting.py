"""One transition's effect. Each is idempotent: it may be done again by whoever runs next."""

from __future__ import annotations

from platform_ops.core.ports import Fence
from platform_ops.core.release import Colour, Weights
from platform_ops.core.state import Act, CheckReport, Effect, Phase, Rollout, Transition

from .checks import run_checks
from .dataplane import confirm, generate_load
from .ports import Ports


async def act(ports: Ports, rollout: Rollout, transition: Transition) -> Effect:
    """Raises TemporaryError to be tried again, PermanentError when the world refuses."""
    target, plan = rollout.target, rollout.plan
    match transition.act:
        case Act.BASELINE:
            return await _checked(ports, rollout, rollout.old, preview=False)
        case Act.MIGRATE if plan.migration is not None:
            await ports.migrations.start(target, plan.migration, rollout.id)
            return Effect(f"{plan.migration.job} started")
        case Act.DEPLOY:
            await ports.workloads.apply(target, plan.manifests)
            if rollout.first_release:
                # Its checks take the users' way, so there must be one: a route that gives nobody traffic yet.
                await ports.router.shift(target, Weights(), Fence(rollout.id, rollout.token))
            return Effect(f"{len(plan.manifests)} manifests applied")
        case Act.VERIFY:
            if rollout.phase is Phase.WARM:
                return await _checked(ports, rollout, rollout.colour, preview=False)
            # Votes take a day and nodes keep images: the registry is asked again right before the traffic.
            await ports.images.inspect(target.service, rollout.release.digest)
            return await _checked(ports, rollout, rollout.colour, preview=True)
        case Act.VERIFY_OLD:
            return await _checked(ports, rollout, rollout.old, preview=False)
        case Act.SHIFT if transition.weights is not None:
            await ports.router.shift(target, transition.weights, Fence(rollout.id, rollout.token))
            return Effect(f"blue {transition.weights.blue} %, green {transition.weights.green} %")
        case Act.CONFIRM if transition.weights is not None:
            wanted = transition.weights
            gaining = rollout.colour if wanted.of(rollout.colour) else rollout.old
            before = rollout.steps[rollout.step - 1].weight if rollout.step else 0
            return await confirm(ports.probe, target, wanted, gaining, plan.checks, before=before)
        case Act.GENERATE:
            return await generate_load(ports.probe, target, rollout.colour, plan.checks)
        case Act.SCALE_UP_OLD:
            await ports.workloads.scale(target, rollout.old, plan.replicas)
            return Effect(f"{rollout.old} scaled to {plan.replicas}")
        case Act.REMOVE_NEW:
            await ports.workloads.remove(target, rollout.colour)
            return Effect(f"nothing of {rollout.colour} is left")
        case Act.RECLAIM:
            await ports.workloads.remove(target, rollout.old)
            return Effect(f"nothing of {rollout.old} is left")
        case _:
            return Effect()


async def _checked(ports: Ports, rollout: Rollout, colour: Colour, *, preview: bool) -> Effect:
    report = await run_checks(
        ports.probe, ports.clock, rollout.target, colour, rollout.plan.checks, preview=preview
    )
    return Effect(in_words(report), report=report)


def in_words(report: CheckReport) -> str:
    if report.passed:
        return f"{report.ran} checks passed on {report.colour}"
    return "; ".join(report.failures) or "there are no checks, and no check is no pass"
