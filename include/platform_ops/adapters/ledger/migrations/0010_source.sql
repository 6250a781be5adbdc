-- What a promotion brings, as its voters saw it, and what it did in git. Insert-only for the application.
CREATE TABLE ledger.changelogs (
    promotion_id uuid PRIMARY KEY REFERENCES ledger.promotions,
    content jsonb NOT NULL,
    at timestamptz NOT NULL
);
CREATE TABLE ledger.branch_moves (
    promotion_id uuid NOT NULL REFERENCES ledger.promotions,
    branch text NOT NULL,
    commit_id text NOT NULL,
    tag text NOT NULL DEFAULT '',
    at timestamptz NOT NULL,
    PRIMARY KEY (promotion_id, branch)
);
GRANT SELECT, INSERT ON ledger.changelogs, ledger.branch_moves TO ledger_app;
