
CREATE TRIGGER credential_sets_retire AFTER DELETE ON credential_sets
BEGIN UPDATE retired_versions SET highest = OLD.version WHERE id = 1 AND highest < OLD.version; END;
