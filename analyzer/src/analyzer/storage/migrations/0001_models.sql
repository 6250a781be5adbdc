-- Model versions, what is in service, and experiments. The version that is built into the engine has no row.
CREATE TABLE analyzer.versions (
    name text PRIMARY KEY CHECK (name ~ '^[a-z0-9][a-z0-9._+-]{0,63}$'),
    document jsonb NOT NULL,
    sha256 text NOT NULL,
    source text NOT NULL CHECK (source IN ('upload', 'job')),
    description text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL,
    created_by text NOT NULL
);

CREATE TABLE analyzer.active_version (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    name text REFERENCES analyzer.versions
);
INSERT INTO analyzer.active_version (name) VALUES (NULL);

CREATE TABLE analyzer.experiments (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    arms jsonb NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz CHECK (ended_at >= started_at),
    promoted text
);
-- At most one runs.
CREATE UNIQUE INDEX one_running_experiment ON analyzer.experiments ((true)) WHERE ended_at IS NULL;
