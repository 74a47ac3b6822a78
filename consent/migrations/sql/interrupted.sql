-- What was tried stays as it was told, and is settled once; afterwards only an erasure may empty the address.
CREATE FUNCTION consent_keep_interrupted() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF (NEW.key, NEW.exit_path, NEW.purpose, NEW.channel, NEW.tried_at, NEW.place, NEW.error_code, NEW.recorded_at)
     IS DISTINCT FROM
     (OLD.key, OLD.exit_path, OLD.purpose, OLD.channel, OLD.tried_at, OLD.place, OLD.error_code, OLD.recorded_at)
     OR (OLD.settled_at IS NOT NULL
         AND (NEW.state, NEW.settled_at, NEW.settled_by, NEW.settled_reason, NEW.decision_id, NEW.attempts)
             IS DISTINCT FROM
             (OLD.state, OLD.settled_at, OLD.settled_by, OLD.settled_reason, OLD.decision_id, OLD.attempts)) THEN
    RAISE EXCEPTION 'an interrupted opt-out is settled once' USING ERRCODE = 'HF001',
      HINT = 'Another attempt of the same person is a row of its own.';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER a_once BEFORE UPDATE ON consent_interruptedoptout
  FOR EACH ROW EXECUTE FUNCTION consent_keep_interrupted();
