-- The bytes on the wire are frozen: they can be erased, not changed, and their hash stays. They are sealed, so that only
-- whoever holds the key can compare them with their hash.
CREATE OR REPLACE FUNCTION messaging_keep_rendered() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NEW.intent <> OLD.intent OR NEW.subject_id <> OLD.subject_id
     OR NEW.render_hash IS DISTINCT FROM OLD.render_hash AND OLD.render_hash IS NOT NULL
     OR NEW.sealed_raw IS DISTINCT FROM OLD.sealed_raw AND NEW.sealed_raw IS NOT NULL AND OLD.render_hash IS NOT NULL THEN
    RAISE EXCEPTION 'a message is rendered once: its bytes can be erased, not changed' USING ERRCODE = 'HF001';
  END IF;
  RETURN NEW;
END $$;

-- What is encrypted cannot be compressed: do not try.
ALTER TABLE messaging_message ALTER COLUMN sealed_raw SET STORAGE EXTERNAL;
