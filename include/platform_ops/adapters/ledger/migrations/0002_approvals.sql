-- Votes and the grants that follow from them. Insert-only for the application.
CREATE TABLE ledger.votes (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    promotion_id uuid NOT NULL REFERENCES ledger.promotions,
    service text NOT NULL,
    environment text NOT NULL,
    digest text NOT NULL,
    role text NOT NULL,
    user_name text NOT NULL,
    option text NOT NULL,
    at timestamptz NOT NULL,
    UNIQUE (promotion_id, digest, role, user_name, at)
);

CREATE TABLE ledger.grants (
    promotion_id uuid NOT NULL REFERENCES ledger.promotions,
    service text NOT NULL,
    environment text NOT NULL,
    digest text NOT NULL,
    required jsonb NOT NULL,
    voters text[] NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (promotion_id, digest)
);
CREATE INDEX grants_of_digest ON ledger.grants (service, environment, digest);
