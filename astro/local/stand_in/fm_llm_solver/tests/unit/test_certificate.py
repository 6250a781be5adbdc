"""Certificates: what is judged valid is, and what is computed passes the judge."""

from __future__ import annotations

import pytest

from fm_llm_solver.certificate import NoCertificate, check, derivative, positive_definite, solve

STABLE = ((-1.0, 2.0), (0.0, -3.0))
UNSTABLE = ((1.0, 0.0), (0.0, -3.0))
IDENTITY = ((1.0, 0.0), (0.0, 1.0))


def test_the_computed_candidate_solves_the_lyapunov_equation() -> None:
    (d11, d12), (d21, d22) = derivative(STABLE, solve(STABLE))
    assert (d11, d22) == pytest.approx((-1.0, -1.0))
    assert (d12, d21) == pytest.approx((0.0, 0.0))


def test_the_computed_candidate_is_a_certificate() -> None:
    found = check(STABLE, solve(STABLE))
    assert (found.valid, found.reason) == (True, "positive definite, with a negative definite derivative")


@pytest.mark.parametrize("system", [UNSTABLE, ((0.0, 1.0), (-1.0, 0.0)), ((0.0, 0.0), (0.0, 0.0))])
def test_a_system_that_is_not_stable_has_no_certificate(
    system: tuple[tuple[float, float], tuple[float, float]],
) -> None:
    with pytest.raises(NoCertificate, match="not asymptotically stable"):
        solve(system)


@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        (((1.0, 0.5), (0.0, 1.0)), "not symmetric"),
        (((-1.0, 0.0), (0.0, 1.0)), "not positive definite"),
        (((1.0, 0.0), (0.0, 1.0)), "not negative definite"),
    ],
)
def test_a_wrong_candidate_is_refused_with_the_reason(
    candidate: tuple[tuple[float, float], tuple[float, float]], reason: str
) -> None:
    found = check(UNSTABLE, candidate)
    assert not found.valid
    assert reason in found.reason


def test_sylvesters_criterion() -> None:
    assert positive_definite(IDENTITY)
    assert not positive_definite(((1.0, 2.0), (2.0, 1.0)))
