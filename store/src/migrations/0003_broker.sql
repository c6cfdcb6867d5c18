-- Leases that were redeemed, until their own time refuses them. What a crash of the database loses here is at most a
-- minute of leases, which only the pod that they are for can redeem; so PostgreSQL need not log it.
CREATE TABLE redeemed_leases (
    id TEXT PRIMARY KEY,
    until_ms BIGINT NOT NULL
);
CREATE INDEX redeemed_leases_by_time ON redeemed_leases (until_ms);
