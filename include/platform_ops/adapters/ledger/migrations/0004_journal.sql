-- What was intended, done and decided, in order. Insert-only for the application.
CREATE TABLE ledger.journal (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    service text NOT NULL,
    environment text NOT NULL,
    rollout_id uuid REFERENCES ledger.rollouts,
    promotion_id uuid REFERENCES ledger.promotions,
    token bigint,
    actor text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('intent', 'done', 'failed', 'note')),
    what text NOT NULL,
    why text NOT NULL,
    detail jsonb NOT NULL
);
CREATE INDEX journal_of_rollout ON ledger.journal (rollout_id, number);
CREATE INDEX journal_of_service ON ledger.journal (service, environment, number);
