
CREATE FUNCTION credential_sets_retire() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE retired_versions SET highest = OLD.version WHERE id = 1 AND highest < OLD.version;
    RETURN NULL;
END $$;
CREATE TRIGGER retire AFTER DELETE ON credential_sets FOR EACH ROW EXECUTE FUNCTION credential_sets_retire();
