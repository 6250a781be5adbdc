-- How the old colour did before its schema changed; written by the holder of the lease.
ALTER TABLE ledger.rollouts ADD COLUMN baseline jsonb;
GRANT UPDATE (baseline) ON ledger.rollouts TO ledger_app;
