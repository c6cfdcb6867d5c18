-- Whether the key ring is the one of this database: one row.
CREATE TABLE key_checks (
    id BIGINT PRIMARY KEY,
    sealed BLOB NOT NULL
);

-- A tenant and its data key, sealed with the key of the ring that is named beside it. Whoever deletes the row shreds
-- everything that was sealed for the tenant.
CREATE TABLE tenants (
    id TEXT PRIMARY KEY,
    created_ms BIGINT NOT NULL,
    ring_key TEXT NOT NULL,
    data_key BLOB NOT NULL
);
CREATE INDEX tenants_by_ring_key ON tenants (ring_key);

-- The credential of a tenant for a connector. A version is never used twice; a revoked one stays without fields.
CREATE TABLE credential_sets (
    tenant TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    connector TEXT NOT NULL,
    version BIGINT NOT NULL,
    saved_ms BIGINT NOT NULL,
    saved_by TEXT NOT NULL,
    expires_ms BIGINT,
    used_ms BIGINT,
    revoked_ms BIGINT,
    PRIMARY KEY (tenant, connector)
);

-- Its fields, each sealed for this tenant, connector, field and version.
CREATE TABLE credential_fields (
    tenant TEXT NOT NULL,
    connector TEXT NOT NULL,
    field TEXT NOT NULL,
    version BIGINT NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (tenant, connector, field),
    FOREIGN KEY (tenant, connector) REFERENCES credential_sets (tenant, connector) ON DELETE CASCADE
);
