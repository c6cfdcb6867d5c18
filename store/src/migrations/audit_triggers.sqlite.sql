
CREATE TRIGGER audit_entries_update BEFORE UPDATE ON audit_entries
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_checkpoints_update BEFORE UPDATE ON audit_checkpoints
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_entries_delete BEFORE DELETE ON audit_entries
WHEN NOT EXISTS (SELECT 1 FROM audit_cuts c
    WHERE c.tenant = OLD.tenant AND c.replica = OLD.replica AND c.seq >= OLD.seq)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_checkpoints_delete BEFORE DELETE ON audit_checkpoints
WHEN NOT EXISTS (SELECT 1 FROM audit_cuts c WHERE c.tenant = '' AND c.replica = '' AND c.seq >= OLD.seq)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
