-- Training jobs. The rows they learn from hold values and are never stored.
CREATE TABLE analyzer.jobs (
    id uuid PRIMARY KEY,
    status text NOT NULL CHECK (status IN ('queued', 'running', 'succeeded', 'failed', 'interrupted')),
    rows integer NOT NULL CHECK (rows > 0),
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    heartbeat_at timestamptz NOT NULL,
    ended_at timestamptz,
    problem text,
    version text REFERENCES analyzer.versions,
    figures jsonb,
    CHECK ((status IN ('queued', 'running')) = (ended_at IS NULL)),
    CHECK ((status = 'succeeded') = (version IS NOT NULL))
);
