-- Releases (built artefacts), the runs that bring them into environments, and gate results.
CREATE TABLE ledger.releases (
    service text NOT NULL,
    name text NOT NULL,
    version text NOT NULL,
    commit_id text NOT NULL,
    digest text NOT NULL CHECK (digest ~ '^sha256:[0-9a-f]{64}$'),
    built_by_run text NOT NULL,
    built_at timestamptz NOT NULL,
    PRIMARY KEY (service, name),
    UNIQUE (service, digest)
);

CREATE TABLE ledger.promotions (
    id uuid PRIMARY KEY,
    dag_id text NOT NULL,
    run_id text NOT NULL,
    service text NOT NULL,
    environment text NOT NULL,
    commit_id text NOT NULL,
    version text NOT NULL,
    digest text CHECK (digest ~ '^sha256:[0-9a-f]{64}$'),
    requested_by text NOT NULL,
    url text NOT NULL,
    started_at timestamptz NOT NULL,
    outcome text NOT NULL DEFAULT 'running'
        CHECK (outcome IN ('running', 'promoted', 'failed', 'rolled_back', 'refused')),
    ended_at timestamptz,
    UNIQUE (dag_id, run_id)
);
CREATE INDEX promotions_verified ON ledger.promotions (service, environment, outcome, ended_at DESC);
CREATE INDEX promotions_seen ON ledger.promotions (service, environment, commit_id);

CREATE TABLE ledger.gates (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    service text NOT NULL,
    subject text NOT NULL,
    gate text NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('passed', 'failed', 'not_run')),
    detail jsonb NOT NULL,
    at timestamptz NOT NULL
);
CREATE INDEX gates_latest ON ledger.gates (service, subject, gate, number DESC);
