-- Sessions of browsers. The id is a hash of what the cookie holds, so that whoever reads this table has no session; what
-- a session is for is sealed for its id, so that whoever writes it makes none.
CREATE TABLE browser_sessions (
    id TEXT PRIMARY KEY,
    person TEXT NOT NULL,
    seen_ms BIGINT NOT NULL,
    ends_ms BIGINT NOT NULL,
    sealed BLOB NOT NULL
);
CREATE INDEX browser_sessions_by_person ON browser_sessions (person, seen_ms);
CREATE INDEX browser_sessions_by_end ON browser_sessions (ends_ms);

-- Sign-ins at an issuer that have come back, until their own time refuses them: each counts once.
CREATE TABLE used_sign_ins (
    id TEXT PRIMARY KEY,
    until_ms BIGINT NOT NULL
);
CREATE INDEX used_sign_ins_by_time ON used_sign_ins (until_ms);
