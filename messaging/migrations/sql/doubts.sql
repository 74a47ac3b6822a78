-- A doubt about what the law asks for is decided by two people, whoever writes the row.
CREATE FUNCTION messaging_keep_doubt() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF (NEW.state = 'closed_unknown' OR NEW.state = 'retry_wait' AND NEW.possible_duplicate)
     AND NOT EXISTS (SELECT FROM public.messaging_doubtruling WHERE message_id = NEW.id AND agreed_at IS NOT NULL) THEN
    RAISE EXCEPTION 'two people decide what becomes of this message' USING ERRCODE = 'HF001',
      HINT = 'One proposes, another agrees; a transport''s own answer settles it without them.';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER b_doubt BEFORE UPDATE OF state ON messaging_message FOR EACH ROW
  WHEN (OLD.state = 'in_doubt' AND NEW.on_doubt = 'ask' AND NEW.message_class IN ('privacy_notice', 'incident_notice'))
  EXECUTE FUNCTION messaging_keep_doubt();

-- What was agreed or withdrawn stays so, and what was proposed is what was agreed with.
CREATE FUNCTION messaging_keep_ruling() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF OLD.is_open IS NOT TRUE
     OR (NEW.message_id, NEW.verdict, NEW.reason, NEW.proposed_at, NEW.proposed_by)
        IS DISTINCT FROM (OLD.message_id, OLD.verdict, OLD.reason, OLD.proposed_at, OLD.proposed_by) THEN
    RAISE EXCEPTION 'a ruling is made once' USING ERRCODE = 'HF001', HINT = 'Propose again.';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER a_once BEFORE UPDATE ON messaging_doubtruling FOR EACH ROW EXECUTE FUNCTION messaging_keep_ruling();

-- A hold says why and since when for good; it is let go once.
CREATE FUNCTION messaging_keep_hold() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF OLD.released_at IS NOT NULL
     OR (NEW.scope, NEW.value, NEW.reason, NEW.held_at, NEW.held_by, NEW.until)
        IS DISTINCT FROM (OLD.scope, OLD.value, OLD.reason, OLD.held_at, OLD.held_by, OLD.until) THEN
    RAISE EXCEPTION 'a hold is only let go' USING ERRCODE = 'HF001', HINT = 'Let go of it and hold again.';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER a_once BEFORE UPDATE ON messaging_sendhold FOR EACH ROW EXECUTE FUNCTION messaging_keep_hold();
