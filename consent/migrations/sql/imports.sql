-- What came, and from whom, stays as it was told; it is applied once and undone once.
CREATE FUNCTION consent_keep_import() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF (NEW.id, NEW.file_name, NEW.digest, NEW.size, NEW.sender, NEW.sheet, NEW.columns, NEW.purpose, NEW.channel,
      NEW.opt_outs_only, NEW.moment, NEW.is_dated, NEW.created_at, NEW.created_by)
     IS DISTINCT FROM
     (OLD.id, OLD.file_name, OLD.digest, OLD.size, OLD.sender, OLD.sheet, OLD.columns, OLD.purpose, OLD.channel,
      OLD.opt_outs_only, OLD.moment, OLD.is_dated, OLD.created_at, OLD.created_by)
     OR (OLD.applied_at IS NOT NULL
         AND (NEW.applied_at, NEW.applied_by, NEW.counts) IS DISTINCT FROM (OLD.applied_at, OLD.applied_by, OLD.counts))
     OR (OLD.undone_at IS NOT NULL AND (NEW.undone_at, NEW.undone_by, NEW.undone_reason)
                                       IS DISTINCT FROM (OLD.undone_at, OLD.undone_by, OLD.undone_reason))
     OR (OLD.emptied_at IS NOT NULL AND NEW.emptied_at IS DISTINCT FROM OLD.emptied_at) THEN
    RAISE EXCEPTION 'an import stays as it came; it is applied once and undone once' USING ERRCODE = 'HF001',
      HINT = 'Upload the file again.';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER a_once BEFORE UPDATE ON consent_import FOR EACH ROW EXECUTE FUNCTION consent_keep_import();
