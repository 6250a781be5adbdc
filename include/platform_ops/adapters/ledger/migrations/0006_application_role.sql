-- What the application may do. Votes, grants, gates and journal can be added and read, never changed or removed.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'ledger_app') THEN
        CREATE ROLE ledger_app NOLOGIN;
    END IF;
END
$$;
GRANT USAGE ON SCHEMA ledger TO ledger_app;
GRANT SELECT ON ALL TABLES IN SCHEMA ledger TO ledger_app;
GRANT USAGE ON SEQUENCE ledger.fencing_tokens TO ledger_app;
GRANT INSERT ON ledger.releases, ledger.promotions, ledger.gates, ledger.votes, ledger.grants,
    ledger.rollouts, ledger.journal, ledger.outbox TO ledger_app;
GRANT UPDATE (digest, outcome, ended_at) ON ledger.promotions TO ledger_app;
GRANT UPDATE (goal, phase, step, weight_blue, weight_green, moved_at, entered_at, shifted_at, since, checked, reason,
    hold, wish, holder, token, lease_until) ON ledger.rollouts TO ledger_app;
GRANT UPDATE (sent_at, message_id, attempts, last_error) ON ledger.outbox TO ledger_app;
