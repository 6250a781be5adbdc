-- Fencing tokens grow over all rollouts: a route keeps the highest one that patched it, whichever rollout that was.
CREATE SEQUENCE ledger.fencing_tokens AS bigint;

-- One row a rollout; one rollout a run; one that is not over per service and environment.
CREATE TABLE ledger.rollouts (
    id uuid PRIMARY KEY,
    dag_id text NOT NULL,
    run_id text NOT NULL,
    promotion_id uuid REFERENCES ledger.promotions,
    service text NOT NULL,
    environment text NOT NULL,
    target jsonb NOT NULL,
    release jsonb NOT NULL,
    colour text NOT NULL CHECK (colour IN ('blue', 'green')),
    previous_digest text,
    plan jsonb NOT NULL,
    goal text NOT NULL,
    requested_by text NOT NULL,
    log_url text NOT NULL,
    created_at timestamptz NOT NULL,
    -- written by the holder of the lease, with its token
    phase text NOT NULL,
    step integer NOT NULL,
    weight_blue integer NOT NULL,
    weight_green integer NOT NULL,
    moved_at timestamptz,
    entered_at timestamptz,
    shifted_at timestamptz,
    since timestamptz,
    checked jsonb,
    reason text NOT NULL,
    -- written by people
    hold jsonb,
    wish jsonb,
    -- the lease
    holder text,
    token bigint NOT NULL,
    lease_until timestamptz,
    UNIQUE (dag_id, run_id),
    CHECK (weight_blue >= 0 AND weight_green >= 0 AND weight_blue + weight_green IN (0, 100))
);
CREATE UNIQUE INDEX rollouts_one_active ON ledger.rollouts (service, environment)
    WHERE phase NOT IN ('Reclaimed', 'RolledBack');
