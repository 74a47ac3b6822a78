-- The database writes the history of consent, one row per change whatever the path; simple-history reads it.

-- prev_state lives in the row, so that the history needs no join of OLD with NEW: such a join keeps the plan of the
-- session's first call, and a 5,000-row statement after a one-row one took fifteen times as long.
-- A row's moments never go back, even where the clock does: simple-history looks for neighbours by date.
CREATE FUNCTION consent_stamp() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    NEW.version := 1; NEW.previous := NULL; NEW.changed_at := clock_timestamp();
  ELSE
    NEW.version := OLD.version + 1; NEW.previous := OLD.state;
    NEW.changed_at := greatest(clock_timestamp(), OLD.changed_at + interval '1 microsecond');
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER z_stamp BEFORE INSERT OR UPDATE ON consent_consent FOR EACH ROW EXECUTE FUNCTION consent_stamp();

-- leaf_hash is the RFC 6962 leaf hash of record_send(ROW(format 1, …)): typed and length-prefixed, hence injective.
CREATE FUNCTION consent_write_history() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF TG_RELID <> 'public.consent_consent'::regclass THEN
    RAISE EXCEPTION 'this is the history of consent, not of %', TG_TABLE_NAME USING ERRCODE = 'HF009';
  END IF;
  INSERT INTO public.consent_historicalconsent
    (history_id, history_date, history_type, history_user_id, history_change_reason, id, subject_id, purpose, channel,
     state, explicit, cause, actor, decided_at, decision_id, version, previous, changed_at, tx, db_user, leaf_hash)
  OVERRIDING SYSTEM VALUE
  SELECT n.hid, n.changed_at, CASE n.version WHEN 1 THEN '+' ELSE '~' END, n.actor, n.cause, n.id, n.subject_id,
         n.purpose, n.channel, n.state, n.explicit, n.cause, n.actor, n.decided_at, n.decision_id, n.version,
         n.previous, n.changed_at, n.tx, session_user,
         sha256('\x00'::bytea || record_send(ROW(1::int2, n.hid, n.id, n.subject_id, n.purpose::text, n.channel::text,
           n.state::text, n.explicit, n.cause::text, n.actor::text, n.decided_at, n.decision_id, n.version,
           n.previous::text, n.changed_at, n.tx, session_user::text)))
    FROM (SELECT nextval('public.consent_historicalconsent_history_id_seq') AS hid,
                 (pg_current_xact_id()::text)::bigint AS tx, c.* FROM changed c OFFSET 0) n;
  RETURN NULL;
END $$;
CREATE TRIGGER b_history_insert AFTER INSERT ON consent_consent REFERENCING NEW TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION consent_write_history();
CREATE TRIGGER b_history_update AFTER UPDATE ON consent_consent REFERENCING NEW TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION consent_write_history();

ALTER TABLE consent_historicalconsent ADD CONSTRAINT historicalconsent_one_per_version UNIQUE (id, version);
