-- What the last probe of a credential said, and of which version: without a reason it works.
ALTER TABLE credential_sets ADD COLUMN checked_ms BIGINT;
ALTER TABLE credential_sets ADD COLUMN checked_version BIGINT;
ALTER TABLE credential_sets ADD COLUMN check_reason TEXT;
