-- Verdicts counted by version and kind. A batch is added once, however often it is sent.
CREATE TABLE analyzer.batches (
    id uuid PRIMARY KEY,
    added_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON analyzer.batches (added_at);

CREATE TABLE analyzer.counts (
    experiment bigint NOT NULL,
    version text NOT NULL,
    secret_type text NOT NULL,
    risk_level text NOT NULL,
    is_secret boolean NOT NULL,
    verdicts bigint NOT NULL,
    probability double precision NOT NULL,
    PRIMARY KEY (experiment, version, secret_type, risk_level, is_secret)
);
