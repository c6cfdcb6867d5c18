-- The last number of auto<N> that was given: one row.
CREATE TABLE registration_numbers (
    id BIGINT PRIMARY KEY,
    last BIGINT NOT NULL
);
INSERT INTO registration_numbers (id, last) VALUES (1, 0);

-- Servers that have registered themselves: one row for each connection that holds a registration. A replica puts the end
-- of all its rows off while it lives. Whoever registers the same URL again holds the same number.
CREATE TABLE registrations (
    holder TEXT PRIMARY KEY,
    replica TEXT NOT NULL,
    number BIGINT NOT NULL,
    caller TEXT NOT NULL,
    url TEXT NOT NULL,
    until_ms BIGINT NOT NULL
);
CREATE INDEX registrations_by_replica ON registrations (replica);
