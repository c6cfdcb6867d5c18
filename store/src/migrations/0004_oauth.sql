-- What the gateway is at an authorization server, by its issuer.
CREATE TABLE oauth_clients (
    tenant TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    connector TEXT NOT NULL,
    issuer TEXT NOT NULL,
    version BIGINT NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (tenant, connector, issuer)
);

-- Flows that wait for their browser. The id is a hash of the state; a row is taken away by the first who comes.
CREATE TABLE oauth_flows (
    tenant TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    id TEXT NOT NULL,
    connector TEXT NOT NULL,
    person TEXT NOT NULL,
    browser TEXT NOT NULL,
    expires_ms BIGINT NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX oauth_flows_by_end ON oauth_flows (tenant, expires_ms);

-- The tokens of a person for a connector, by the issuer that gave them. The generation grows with every token and is
-- never used twice; whoever renews one has claimed it until claimed_ms.
CREATE TABLE oauth_tokens (
    tenant TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    connector TEXT NOT NULL,
    person TEXT NOT NULL,
    issuer TEXT NOT NULL,
    upstream TEXT NOT NULL,
    generation BIGINT NOT NULL,
    claimed_ms BIGINT NOT NULL,
    renew_ms BIGINT,
    refreshable BIGINT NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (tenant, connector, person, issuer)
);
