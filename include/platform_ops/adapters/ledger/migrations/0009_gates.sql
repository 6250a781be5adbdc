-- A gate's result is kept under the digest of its inputs, so that equal inputs need not run again.
ALTER TABLE ledger.gates ADD COLUMN input_digest text NOT NULL DEFAULT '';
CREATE INDEX gates_by_input ON ledger.gates (service, gate, input_digest, number DESC) WHERE input_digest <> '';

-- Incidents whose cause a release removes, as its requester stated; it is admitted while they are open.
ALTER TABLE ledger.promotions ADD COLUMN fixes text[] NOT NULL DEFAULT '{}';

-- Incidents: what was opened and closed, in order. Insert-only for the application.
CREATE SEQUENCE ledger.incident_numbers AS bigint;
CREATE TABLE ledger.incident_events (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    incident text NOT NULL,
    service text NOT NULL,
    environment text,
    kind text NOT NULL CHECK (kind IN ('opened', 'closed')),
    why text NOT NULL,
    by_whom text NOT NULL,
    at timestamptz NOT NULL,
    UNIQUE (incident, kind)
);
CREATE INDEX incident_events_of_service ON ledger.incident_events (service, number);
GRANT SELECT, INSERT ON ledger.incident_events TO ledger_app;
GRANT USAGE ON SEQUENCE ledger.incident_numbers TO ledger_app;
