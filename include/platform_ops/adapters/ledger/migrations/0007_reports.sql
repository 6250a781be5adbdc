-- Runs that tell Airflow of a rollback which the controller decided by itself: kept until Airflow has taken them.
CREATE TABLE ledger.reports (
    rollout_id uuid PRIMARY KEY REFERENCES ledger.rollouts,
    dag_id text NOT NULL,
    run_id text NOT NULL,
    asked_at timestamptz NOT NULL,
    started_at timestamptz,
    attempts integer NOT NULL DEFAULT 0,
    last_error text NOT NULL DEFAULT '',
    UNIQUE (dag_id, run_id)
);
CREATE INDEX reports_waiting ON ledger.reports (asked_at) WHERE started_at IS NULL;
GRANT SELECT, INSERT ON ledger.reports TO ledger_app;
GRANT UPDATE (started_at, attempts, last_error) ON ledger.reports TO ledger_app;
