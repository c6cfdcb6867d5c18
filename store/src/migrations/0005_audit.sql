-- The key that signs checkpoints, sealed with the key ring: one row.
CREATE TABLE audit_keys (
    id BIGINT PRIMARY KEY,
    sealed BLOB NOT NULL
);

-- One line for every decision and call. It outlives its tenant: who did what stays on record. Nothing is ever changed,
-- and only what retention has cut can be deleted: triggers see to it.
CREATE TABLE audit_entries (
    tenant TEXT NOT NULL,
    replica TEXT NOT NULL,
    seq BIGINT NOT NULL,
    time_ms BIGINT NOT NULL,
    hash TEXT NOT NULL,
    line TEXT NOT NULL,
    PRIMARY KEY (tenant, replica, seq)
);
CREATE INDEX audit_entries_by_time ON audit_entries (time_ms);
CREATE INDEX audit_entries_of_tenant ON audit_entries (tenant, time_ms);

-- Signed heads of the chains, in a chain of their own.
CREATE TABLE audit_checkpoints (
    seq BIGINT PRIMARY KEY,
    body TEXT NOT NULL,
    signature TEXT NOT NULL
);

-- How far retention has cut each chain; the row without tenant and replica is that of the checkpoints.
CREATE TABLE audit_cuts (
    tenant TEXT NOT NULL,
    replica TEXT NOT NULL,
    seq BIGINT NOT NULL,
    PRIMARY KEY (tenant, replica)
);
