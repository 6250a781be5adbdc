-- Pages on their way to people. The key makes a page unique: it is queued and arrives once.
CREATE TABLE ledger.outbox (
    key text PRIMARY KEY,
    service text NOT NULL,
    environment text NOT NULL,
    title text NOT NULL,
    happened text NOT NULL,
    done text NOT NULL,
    todo text NOT NULL,
    log_url text NOT NULL,
    channel text NOT NULL,
    queued_at timestamptz NOT NULL,
    sent_at timestamptz,
    message_id text,
    attempts integer NOT NULL DEFAULT 0,
    last_error text NOT NULL DEFAULT ''
);
CREATE INDEX outbox_unsent ON ledger.outbox (queued_at) WHERE sent_at IS NULL;
