"""Everything that imports Airflow: steps, operators, triggers, and the pieces of which DAG files are made.

A step looks (adapter), decides (core), acts (adapter). No data goes from task to task by XCom, which
people can
rewrite through the API: every step finds its promotion in the ledger by the run it belongs to.
"""
