-- What the service may do: add and read; change only what has to change; delete nothing but the marks of old batches.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'analyzer_app') THEN
        CREATE ROLE analyzer_app NOLOGIN;
    END IF;
END
$$;
GRANT USAGE ON SCHEMA analyzer TO analyzer_app;
GRANT SELECT ON analyzer.versions, analyzer.active_version, analyzer.experiments, analyzer.jobs, analyzer.batches,
    analyzer.counts, analyzer.keys TO analyzer_app;
GRANT INSERT ON analyzer.versions, analyzer.experiments, analyzer.jobs, analyzer.batches, analyzer.counts,
    analyzer.keys TO analyzer_app;
GRANT UPDATE (name) ON analyzer.active_version TO analyzer_app;
GRANT UPDATE (ended_at, promoted) ON analyzer.experiments TO analyzer_app;
GRANT UPDATE (status, heartbeat_at, ended_at, problem, version, figures) ON analyzer.jobs TO analyzer_app;
GRANT UPDATE (verdicts, probability) ON analyzer.counts TO analyzer_app;
GRANT UPDATE (expires_at, revoked_at, last_used_at) ON analyzer.keys TO analyzer_app;
GRANT DELETE ON analyzer.batches TO analyzer_app;
