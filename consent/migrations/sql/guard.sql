-- What is refused, to whomever: the owner of the tables, and a session with session_replication_role = replica too.

-- A decision's own facts are defaults. No login may name them; this catches the owner.
CREATE FUNCTION consent_refuse_forged_facts() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'received_at, tx and db_user are the database''s own' USING ERRCODE = 'HF005';
END $$;
CREATE TRIGGER a_facts BEFORE INSERT ON consent_decision FOR EACH ROW
  WHEN (NEW.received_at > clock_timestamp() OR NEW.received_at < transaction_timestamp() - interval '1 second'
        OR NEW.tx <> (pg_current_xact_id()::text)::bigint OR NEW.db_user <> session_user::text)
  EXECUTE FUNCTION consent_refuse_forged_facts();

CREATE FUNCTION consent_refuse_void_of_explicit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM public.consent_decision WHERE id = NEW.decision_id AND explicit) THEN
    RAISE EXCEPTION 'decision % is explicit: only a later choice of the person supersedes it', NEW.decision_id
      USING ERRCODE = 'HF006';
  END IF;
  NEW.tx := (pg_current_xact_id()::text)::bigint; NEW.voided_at := clock_timestamp();
  RETURN NEW;
END $$;
CREATE TRIGGER a_explicit BEFORE INSERT ON consent_decisionvoid FOR EACH ROW
  EXECUTE FUNCTION consent_refuse_void_of_explicit();

-- The two steps back in: the moments are the database's, the steps lie in two transactions, two of staff are two.
CREATE FUNCTION consent_stamp_reversal() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  NEW.tx := (pg_current_xact_id()::text)::bigint; NEW.requested_at := clock_timestamp();
  RETURN NEW;
END $$;
CREATE TRIGGER a_stamp BEFORE INSERT ON consent_reversal FOR EACH ROW EXECUTE FUNCTION consent_stamp_reversal();

CREATE FUNCTION consent_check_confirmation() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE first record;
BEGIN
  NEW.tx := (pg_current_xact_id()::text)::bigint; NEW.confirmed_at := clock_timestamp();
  SELECT * INTO first FROM public.consent_reversal WHERE id = NEW.reversal_id;
  IF first.tx = NEW.tx THEN
    RAISE EXCEPTION 'the second step cannot be part of the first' USING ERRCODE = 'HF007';
  ELSIF first.kind = 'staff' AND first.requested_by = NEW.confirmed_by THEN
    RAISE EXCEPTION 'a second person must agree' USING ERRCODE = 'HF007';
  ELSIF first.requested_at < NEW.confirmed_at - interval '7 days' THEN
    RAISE EXCEPTION 'the first step is more than seven days old' USING ERRCODE = 'HF007', HINT = 'Ask again.';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER a_check BEFORE INSERT ON consent_reversalconfirmation FOR EACH ROW
  EXECUTE FUNCTION consent_check_confirmation();

-- Leaving an explicit opt-out, by whatever path: the key's newest explicit opt-out must be answered by a reversed opt-in.
CREATE FUNCTION consent_guard_opt_out() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE last_out timestamptz;
BEGIN
  IF (NEW.id, NEW.subject_id, NEW.purpose, NEW.channel) IS DISTINCT FROM (OLD.id, OLD.subject_id, OLD.purpose, OLD.channel) THEN
    RAISE EXCEPTION 'the key of a consent never changes' USING ERRCODE = 'HF008';
  END IF;
  SELECT max(decided_at) INTO last_out FROM public.consent_decision
   WHERE subject_id = NEW.subject_id AND purpose = NEW.purpose AND channel = NEW.channel
     AND explicit AND choice = 'opt_out' AND (NEW.decided_at IS NULL OR NOT NEW.explicit OR decided_at <= NEW.decided_at);
  IF last_out IS NOT NULL AND NOT EXISTS (
    SELECT FROM public.consent_decision d
     WHERE d.subject_id = NEW.subject_id AND d.purpose = NEW.purpose AND d.channel = NEW.channel
       AND d.explicit AND d.choice = 'opt_in' AND d.decided_at BETWEEN last_out AND NEW.decided_at
       AND public.consent_reversal_is_confirmed(d.reversal_id, d.subject_id, d.purpose, d.channel, last_out)) THEN
    RAISE EXCEPTION 'an explicit opt-out stands for subject % and %/%', NEW.subject_id, NEW.purpose, NEW.channel
      USING ERRCODE = 'HF004', DETAIL = format('%s %s %s', NEW.subject_id, NEW.purpose, NEW.channel),
            HINT = 'Opting back in takes two steps: request a reversal and confirm it.';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER a_guard BEFORE UPDATE ON consent_consent FOR EACH ROW
  WHEN ((OLD.explicit AND OLD.state = 'opt_out' AND NOT (NEW.explicit AND coalesce(NEW.state, '') = 'opt_out'))
        OR OLD.id <> NEW.id OR OLD.subject_id <> NEW.subject_id OR OLD.purpose <> NEW.purpose OR OLD.channel <> NEW.channel)
  EXECUTE FUNCTION consent_guard_opt_out();

-- A statement that no trigger of ours runs (depth 0) may only write what the log says: the repair does, a hand does not.
CREATE FUNCTION consent_guard_direct_write() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE e public.consent_decision;
BEGIN
  SELECT * INTO e FROM public.consent_effective(NEW.subject_id, NEW.purpose, NEW.channel);
  IF (NEW.state, NEW.explicit, NEW.cause, NEW.actor, NEW.decided_at, NEW.decision_id)
     IS DISTINCT FROM (e.choice, coalesce(e.explicit, false), coalesce(e.cause, ''), coalesce(e.actor, ''), e.decided_at, e.id) THEN
    RAISE EXCEPTION 'consent is projected from decisions: record one' USING ERRCODE = 'HF009';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER b_direct BEFORE INSERT OR UPDATE ON consent_consent FOR EACH ROW
  WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION consent_guard_direct_write();

CREATE FUNCTION consent_refuse_hand_written_history() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'the database writes this history' USING ERRCODE = 'HF001';
END $$;
CREATE TRIGGER a_by_trigger_only BEFORE INSERT ON consent_historicalconsent FOR EACH STATEMENT
  WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION consent_refuse_hand_written_history();

-- Without ALWAYS, session_replication_role = replica would skip every one of them.
DO $$
DECLARE t record;
BEGIN
  FOR t IN SELECT tgrelid::regclass AS tab, tgname FROM pg_trigger
            WHERE NOT tgisinternal AND tgrelid::regclass::text LIKE 'consent\_%' LOOP
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', t.tab, t.tgname);
  END LOOP;
END $$;
