"""Rules between entries of the catalog, which no single field can check."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from platform_ops.core.signatures import key_of

from .models import Approvals, Check, Person, ProductionApprovals
from .names import unknown
from .source import KeyPath, dotted

_VARIABLE = re.compile(r"^[A-Z][A-Z0-9_]*$")
Finding = tuple[KeyPath, str]


def people_problems(roles: Mapping[str, str], people: Mapping[str, Person]) -> Iterator[Finding]:
    """Roles that nobody declared, roles that nobody has, addresses that two people claim."""
    owners: dict[str, str] = {}
    for user, person in people.items():
        for index, role in enumerate(person.roles):
            if role not in roles:
                yield ("people", user, "roles", index), unknown("role", role, tuple(roles))
        for index, email in enumerate(person.emails):
            if owners.setdefault(email, user) != user:
                yield ("people", user, "emails", index), f"{email} already belongs to {owners[email]}"
    for role in roles:
        if not any(role in person.roles for person in people.values()):
            yield ("roles", role), f"nobody has the role {role}; give it to somebody under people"


def key_problems(keys: Mapping[KeyPath, str]) -> Iterator[Finding]:
    """One key for two owners: nobody could say whose signature it is. `keys` maps its place to its text."""
    owners: dict[str, KeyPath] = {}
    for path, text in keys.items():
        try:
            fingerprint = key_of((), text).fingerprint
        except ValueError:
            continue  # its own field reports it
        owner = owners.setdefault(fingerprint, path)
        if owner[:-2] != path[:-2]:
            yield path, f"the key {fingerprint} is already that of {dotted(owner[:-2])}"


def identity_problems(email: str, people: Mapping[str, Person]) -> Iterator[Finding]:
    """The service identity commits for nobody."""
    for user, person in people.items():
        if email.lower() in (address.lower() for address in person.emails):
            yield (
                ("service_identity", "email"),
                f"{email} belongs to {user}; give the service an address of its own",
            )


def branch_problems(branches: Mapping[KeyPath, str]) -> Iterator[Finding]:
    """Two environments of a service that follow one branch: a promotion could not move it forward."""
    owners: dict[str, KeyPath] = {}
    for path, branch in branches.items():
        owner = owners.setdefault(branch, path)
        if owner != path:
            yield path, f"the branch {branch} is already that of {dotted(owner[:-1])}"


def host_problems(hosts: Mapping[KeyPath, str]) -> Iterator[Finding]:
    """Two environments with one host: their routes would take each other's traffic."""
    owners: dict[str, KeyPath] = {}
    for path, host in hosts.items():
        owner = owners.setdefault(host, path)
        if owner != path:
            yield path, f"the host {host} is already that of {dotted(owner)}"


def approval_problems(
    approvals: Approvals, roles: Mapping[str, str], people: Mapping[str, Person]
) -> Iterator[Finding]:
    """Unknown roles, pools that cannot reach their quorum, votes that expire too soon."""
    for index, role in enumerate(approvals.requesters):
        if role not in roles:
            yield ("requesters", index), unknown("role", role, tuple(roles))
    for role in approvals.quorum:
        if role not in roles:
            yield ("quorum", role), unknown("role", role, tuple(roles))
    known = {role: count for role, count in approvals.quorum.items() if role in roles}
    yield from _pool_problems(known, approvals, people)
    if approvals.expires <= approvals.wait_timer:
        yield ("expires",), "must be longer than wait_timer: the votes would expire before the release starts"
    if isinstance(approvals, ProductionApprovals):
        for inner, text in approval_problems(approvals.of_hotfix(), roles, people):
            if inner[0] != "requesters":
                yield ("hotfix", *inner), text


def check_problems(checks: Sequence[Check]) -> Iterator[Finding]:
    """Bodies that nobody sends, and secrets that stand in the catalog."""
    for index, check in enumerate(checks):
        if check.body is not None and check.method == "GET":
            yield (index, "body"), "a GET has no body; set method: POST"
        for header, variable in check.secret_headers.items():
            if not _VARIABLE.match(variable):
                text = "must be the name of an environment variable in capitals, never the value itself"
                yield (index, "secret_headers", header), text


def _pool_problems(
    quorum: Mapping[str, int], approvals: Approvals, people: Mapping[str, Person]
) -> Iterator[Finding]:
    enough = True
    for role, count in quorum.items():
        pool = [user for user, person in people.items() if role in person.roles]
        excluded = [] if approvals.self_review else _excluded(pool, approvals, people)
        if len(pool) < count + len(excluded):
            enough = False
            besides = f" besides {' and '.join(excluded)} from among them" if excluded else ""
            yield (
                ("quorum", role),
                f"needs {count} of {role}{besides}, which is {count + len(excluded)} people; "
                f"there are {len(pool)}: {', '.join(pool) or 'none'}",
            )
    voters = {user for user, person in people.items() if set(person.roles) & set(quorum)}
    if enough and not _distinct_votes(quorum, people, voters):
        yield ("quorum",), "people with two roles would have to vote twice; add people to one of the roles"


def _excluded(pool: Sequence[str], approvals: Approvals, people: Mapping[str, Person]) -> list[str]:
    """Whom the rule against self-review can take out of a pool: one author, one requester."""
    author = any(people[user].emails for user in pool)
    requesters = set(approvals.requesters)
    requester = not requesters or any(requesters & set(people[user].roles) for user in pool)
    return ["an author"] * author + ["a requester"] * requester


def _distinct_votes(quorum: Mapping[str, int], people: Mapping[str, Person], voters: Iterable[str]) -> bool:
    """Whether every seat of the quorum can have a person of its own (bipartite matching)."""
    seats = [role for role, count in quorum.items() for _ in range(min(count, len(people) + 1))]
    seat_of: dict[str, int] = {}

    def seated(seat: int, tried: set[str]) -> bool:
        for user in voters:
            if seats[seat] in people[user].roles and user not in tried:
                tried.add(user)
                if user not in seat_of or seated(seat_of[user], tried):
                    seat_of[user] = seat
                    return True
        return False

    return all(seated(seat, set()) for seat in range(len(seats)))
