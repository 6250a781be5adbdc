"""The ledger: PostgreSQL by psycopg 3 (ADR-3). Airflow's own metadata are never touched."""

from __future__ import annotations

from .ledger import Ledger

__all__ = ["Ledger"]
