-- API keys: 32 random bytes each, so that a plain SHA-256 cannot be reversed. At most two are valid for a client.
CREATE TABLE analyzer.keys (
    id text PRIMARY KEY,
    client text NOT NULL CHECK (client <> ''),
    digest text NOT NULL UNIQUE CHECK (digest ~ '^[0-9a-f]{64}$'),
    scopes text[] NOT NULL CHECK (cardinality(scopes) > 0 AND scopes <@ ARRAY['analyze', 'train', 'admin']),
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz
);
CREATE INDEX ON analyzer.keys (client);
