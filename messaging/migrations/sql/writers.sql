-- Everybody who wrote on a version stays among its writers, whatever an update says: none of them may approve it.
CREATE FUNCTION messaging_keep_writers() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE writer text;
BEGIN
  IF TG_OP = 'INSERT' THEN
    NEW.writers := ARRAY[NEW.created_by];
    RETURN NEW;
  END IF;
  NEW.writers := OLD.writers;
  IF OLD.state IN ('published', 'retired') THEN
    RETURN NEW;
  END IF;
  FOREACH writer IN ARRAY ARRAY[OLD.created_by, NEW.created_by] LOOP
    IF writer <> ALL (NEW.writers) THEN
      NEW.writers := NEW.writers || writer;
    END IF;
  END LOOP;
  RETURN NEW;
END $$;
CREATE TRIGGER a_writers BEFORE INSERT OR UPDATE ON messaging_templateversion FOR EACH ROW
  EXECUTE FUNCTION messaging_keep_writers();
