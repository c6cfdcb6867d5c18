-- The highest version that the credential of a deleted tenant had. Those of whoever comes later begin above it: a version
-- is never used twice, by a tenant of the same name either.
CREATE TABLE retired_versions (
    id BIGINT PRIMARY KEY,
    highest BIGINT NOT NULL
);
INSERT INTO retired_versions (id, highest) VALUES (1, 0);
