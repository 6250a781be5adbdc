-- Digests that went back, and who let them go again. Insert-only: the newest line of a digest in an environment counts.
CREATE TABLE ledger.digest_holds (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    service text NOT NULL,
    environment text NOT NULL,
    digest text NOT NULL CHECK (digest ~ '^sha256:[0-9a-f]{64}$'),
    held boolean NOT NULL,
    rollout_id uuid REFERENCES ledger.rollouts,
    by_whom text NOT NULL,
    why text NOT NULL,
    at timestamptz NOT NULL,
    -- A rollback holds a digest once, however often its end is written; a person's release names no rollout.
    UNIQUE (rollout_id, digest),
    CHECK (held = (rollout_id IS NOT NULL))
);
CREATE INDEX digest_holds_of ON ledger.digest_holds (service, digest, environment, number DESC);
GRANT SELECT, INSERT ON ledger.digest_holds TO ledger_app;
