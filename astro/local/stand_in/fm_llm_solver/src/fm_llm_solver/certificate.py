"""Quadratic Lyapunov certificates of linear systems x' = Ax with two states."""

from __future__ import annotations

from dataclasses import dataclass

Matrix = tuple[tuple[float, float], tuple[float, float]]

TOLERANCE = 1e-9


@dataclass(frozen=True)
class Certificate:
    """Whether V(x) = xᵀPx proves that the system is asymptotically stable, and why."""

    candidate: Matrix | None
    valid: bool
    reason: str


class NoCertificate(Exception):
    """The system has no quadratic Lyapunov function, since it is not asymptotically stable."""


def positive_definite(m: Matrix) -> bool:
    """Sylvester's criterion for a symmetric matrix."""
    (a, b), (_, d) = m
    return a > TOLERANCE and a * d - b * b > TOLERANCE


def derivative(a: Matrix, p: Matrix) -> Matrix:
    """AᵀP + PA: the matrix of V's derivative along the system."""
    (a11, a12), (a21, a22) = a
    (p11, p12), (_, p22) = p
    first = 2 * (a11 * p11 + a21 * p12)
    mixed = a11 * p12 + a21 * p22 + p11 * a12 + p12 * a22
    last = 2 * (a12 * p12 + a22 * p22)
    return ((first, mixed), (mixed, last))


def check(a: Matrix, p: Matrix) -> Certificate:
    """Judges a candidate."""
    if abs(p[0][1] - p[1][0]) > TOLERANCE:
        return Certificate(p, False, "the candidate is not symmetric")
    if not positive_definite(p):
        return Certificate(p, False, "the candidate is not positive definite")
    (d11, d12), (_, d22) = derivative(a, p)
    if not positive_definite(((-d11, -d12), (-d12, -d22))):
        return Certificate(p, False, "its derivative along the system is not negative definite")
    return Certificate(p, True, "positive definite, with a negative definite derivative")


def solve(a: Matrix) -> Matrix:
    """P of the Lyapunov equation AᵀP + PA = -I; raises `NoCertificate` when the system is not stable."""
    (a11, a12), (a21, a22) = a
    trace, determinant = a11 + a22, a11 * a22 - a12 * a21
    if trace >= -TOLERANCE or determinant <= TOLERANCE:
        raise NoCertificate(
            f"the system is not asymptotically stable: trace {trace:g}, determinant {determinant:g}"
        )
    # Closed form for two states: P = -(det(A) I + adj(A)ᵀ adj(A)) / (2 tr(A) det(A)).
    scale = -1 / (2 * trace * determinant)
    p11 = scale * (determinant + a22 * a22 + a21 * a21)
    p22 = scale * (determinant + a11 * a11 + a12 * a12)
    p12 = -scale * (a22 * a12 + a21 * a11)
    return ((p11, p12), (p12, p22))
