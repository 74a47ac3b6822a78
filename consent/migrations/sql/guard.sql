-- What is refused, to whomever: the owner of the tables, and a session with session_replication_role = replica too.

-- A decision's own facts are the database's. No login may name them; whatever the owner names is overruled, and not
-- refused: a clock that steps back must not stand between a person and their opt-out.
CREATE FUNCTION consent_stamp_decision() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  NEW.received_at := clock_timestamp(); NEW.tx := (pg_current_xact_id()::text)::bigint; NEW.db_user := session_user;
  -- An opt-in from a clock that runs ahead would outlive the opt-out that follows it: it counts from its receipt.
  IF NEW.choice = 'opt_in' AND NEW.decided_at <= NEW.received_at + interval '5 minutes' THEN
    NEW.decided_at := least(NEW.decided_at, NEW.received_at);
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER a_facts BEFORE INSERT ON consent_decision FOR EACH ROW
  WHEN (NEW.received_at > clock_timestamp() OR NEW.received_at < statement_timestamp()
        OR NEW.tx <> (pg_current_xact_id()::text)::bigint OR NEW.db_user <> session_user::text
        OR (NEW.choice = 'opt_in' AND NEW.decided_at > NEW.received_at))
  EXECUTE FUNCTION consent_stamp_decision();

-- Only what can be seen, and was chosen by nobody, can be voided: an id that is yet to come might be a person's choice.
CREATE FUNCTION consent_check_void() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE bad public.consent_decision;
BEGIN
  SELECT * INTO bad FROM public.consent_decision WHERE id = NEW.decision_id;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'there is no decision %', NEW.decision_id USING ERRCODE = 'HF006';
  ELSIF bad.explicit THEN
    RAISE EXCEPTION 'decision % is explicit: only a later choice of the person supersedes it', NEW.decision_id
      USING ERRCODE = 'HF006';
  ELSIF bad.choice = 'opt_out' AND NOT pg_has_role(session_user, 'holdfast_app', 'MEMBER') THEN
    RAISE EXCEPTION 'decision % is an opt-out: this login may void opt-ins only', NEW.decision_id
      USING ERRCODE = 'HF006', HINT = 'Ask an officer to void it in the product.';
  END IF;
  NEW.tx := (pg_current_xact_id()::text)::bigint; NEW.voided_at := clock_timestamp();
  RETURN NEW;
END $$;
CREATE TRIGGER a_explicit BEFORE INSERT ON consent_decisionvoid FOR EACH ROW EXECUTE FUNCTION consent_check_void();

-- The two steps back in: the moments are the database's, the steps lie in two transactions, two of staff are two.
CREATE FUNCTION consent_stamp_reversal() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NEW.kind NOT IN ('subject', 'staff') OR (NEW.kind = 'staff') <> (NEW.requested_by LIKE 'user:_%') THEN
    RAISE EXCEPTION 'a reversal of kind % cannot be asked for by %', NEW.kind, NEW.requested_by USING ERRCODE = 'HF007';
  END IF;
  NEW.tx := (pg_current_xact_id()::text)::bigint; NEW.requested_at := clock_timestamp();
  RETURN NEW;
END $$;
CREATE TRIGGER a_stamp BEFORE INSERT ON consent_reversal FOR EACH ROW EXECUTE FUNCTION consent_stamp_reversal();

CREATE FUNCTION consent_check_confirmation() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE first public.consent_reversal;
BEGIN
  NEW.tx := (pg_current_xact_id()::text)::bigint; NEW.confirmed_at := clock_timestamp();
  SELECT * INTO first FROM public.consent_reversal WHERE id = NEW.reversal_id;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the second step cannot come before the first' USING ERRCODE = 'HF007';
  ELSIF first.tx = NEW.tx THEN
    RAISE EXCEPTION 'the second step cannot be part of the first' USING ERRCODE = 'HF007';
  ELSIF first.kind = 'staff' AND (first.requested_by = NEW.confirmed_by OR NEW.confirmed_by NOT LIKE 'user:_%') THEN
    RAISE EXCEPTION 'a second person must agree' USING ERRCODE = 'HF007';
  ELSIF first.kind = 'subject' AND NEW.confirmed_by LIKE 'user:%' THEN
    RAISE EXCEPTION 'the person who asked must confirm' USING ERRCODE = 'HF007';
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
     AND explicit AND choice = 'opt_out';
  IF last_out IS NOT NULL AND ((NEW.explicit AND NEW.state = 'opt_in') IS NOT TRUE OR NOT EXISTS (
    SELECT FROM public.consent_decision d
     WHERE d.subject_id = NEW.subject_id AND d.purpose = NEW.purpose AND d.channel = NEW.channel
       AND d.explicit AND d.choice = 'opt_in' AND d.decided_at > last_out AND d.decided_at <= NEW.decided_at
       AND public.consent_is_reversed(d.reversal_id, d.subject_id, d.purpose, d.channel, d.received_at))) THEN
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

-- Only the projection writes consent and its history. Who runs a statement cannot be feigned, as a trigger's depth can;
-- the table's owner and a superuser are refused too: consent_reproject() is the repair.
CREATE FUNCTION consent_refuse_by_hand() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION '% is written by the database alone', TG_TABLE_NAME
    USING ERRCODE = 'HF009', HINT = 'Record a decision; consent and its history follow.';
END $$;
CREATE TRIGGER a_by_projection_only BEFORE INSERT OR UPDATE ON consent_consent FOR EACH STATEMENT
  WHEN (current_user <> 'holdfast_projector') EXECUTE FUNCTION consent_refuse_by_hand();
CREATE TRIGGER a_by_projection_only BEFORE INSERT ON consent_historicalconsent FOR EACH STATEMENT
  WHEN (current_user <> 'holdfast_projector') EXECUTE FUNCTION consent_refuse_by_hand();

-- The newest change of the guard rules, so its number and moment are not for the asking. Whoever is not the site, such
-- as the 2 a.m. login, may raise the guard and not lower it.
CREATE FUNCTION consent_stamp_guard() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  levels constant text[] := array['observe', 'protect', 'freeze'];
  now_at text := coalesce((SELECT level FROM public.consent_guardchange ORDER BY id DESC LIMIT 1), 'observe');
BEGIN
  IF array_position(levels, NEW.level::text) < array_position(levels, now_at)
     AND NOT pg_has_role(session_user, 'holdfast_app', 'MEMBER') THEN
    RAISE EXCEPTION 'this login may raise the guard, not lower it from %', now_at
      USING ERRCODE = 'HF012', HINT = 'Ask an officer to lower it in the product.';
  END IF;
  NEW.id := nextval('public.consent_guardchange_id_seq'); NEW.changed_at := clock_timestamp();
  RETURN NEW;
END $$;
CREATE TRIGGER a_stamp BEFORE INSERT ON consent_guardchange FOR EACH ROW EXECUTE FUNCTION consent_stamp_guard();
