-- What votes rest on: the gates' outcomes that a voter was shown, kept once under their fingerprint.
CREATE TABLE ledger.evidence (
    fingerprint text PRIMARY KEY CHECK (fingerprint ~ '^[0-9a-f]{64}$'),
    outcomes jsonb NOT NULL
);

-- Each time that a seat was asked, and on what. A vote rests on the newest one before it.
CREATE TABLE ledger.ballots (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    promotion_id uuid NOT NULL REFERENCES ledger.promotions,
    seat text NOT NULL,
    evidence text NOT NULL REFERENCES ledger.evidence,
    at timestamptz NOT NULL
);
CREATE INDEX ballots_of_seat ON ledger.ballots (promotion_id, seat, number DESC);

-- Of votes and grants that an older version wrote nothing is known: NULL.
ALTER TABLE ledger.votes ADD COLUMN evidence text REFERENCES ledger.evidence;
ALTER TABLE ledger.grants ADD COLUMN evidence text REFERENCES ledger.evidence, ADD COLUMN expires interval;

-- Votes that did not let their release start, with the reason. Insert-only, so a void stays.
CREATE TABLE ledger.voids (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    promotion_id uuid NOT NULL REFERENCES ledger.promotions,
    digest text NOT NULL,
    why text NOT NULL,
    at timestamptz NOT NULL,
    UNIQUE (promotion_id, digest, why)
);

-- Hotfixes and their follow-up: open until every branch holds the commit, or until it did not stay live.
CREATE TABLE ledger.hotfixes (
    promotion_id uuid PRIMARY KEY REFERENCES ledger.promotions,
    service text NOT NULL,
    commit_id text NOT NULL,
    version text NOT NULL,
    why text NOT NULL,
    incident text NOT NULL,
    missing text[] NOT NULL,
    opened_at timestamptz NOT NULL,
    closed_at timestamptz,
    closed_because text NOT NULL DEFAULT ''
);
CREATE INDEX hotfixes_open ON ledger.hotfixes (service, opened_at) WHERE closed_at IS NULL;

GRANT SELECT, INSERT ON ledger.evidence, ledger.ballots, ledger.voids, ledger.hotfixes TO ledger_app;
GRANT UPDATE (missing, closed_at, closed_because) ON ledger.hotfixes TO ledger_app;
