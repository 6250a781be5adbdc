-- What people changed in a cluster by hand, and what was made of it. A row is written before anything is done about it.
CREATE TABLE ledger.hand_changes (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event text NOT NULL,
    at timestamptz NOT NULL,
    service text NOT NULL,
    environment text NOT NULL,
    rollout_id uuid NOT NULL REFERENCES ledger.rollouts,
    subject text NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('followed', 'refused', 'put back')),
    deed text NOT NULL,
    colour text CHECK (colour IN ('blue', 'green')),
    digest text,
    happened text NOT NULL,
    ended_at timestamptz,
    said text NOT NULL DEFAULT ''
);
-- Two standbys that see the same change write one row.
CREATE UNIQUE INDEX hand_changes_open ON ledger.hand_changes (event) WHERE ended_at IS NULL;
CREATE INDEX hand_changes_of_rollout ON ledger.hand_changes (rollout_id, number);
GRANT SELECT, INSERT ON ledger.hand_changes TO ledger_app;
GRANT UPDATE (outcome, ended_at, said) ON ledger.hand_changes TO ledger_app;
