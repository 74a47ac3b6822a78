-- A doubt about what the law asks for is decided by two people, whoever writes the row, and each doubt anew: they agreed
-- on exactly this since the last attempt ended. A transport's own answer, late or asked for again, settles it without
-- them. Closed as unknown it is no less a doubt: sending it again takes two as well.
CREATE FUNCTION messaging_keep_doubt() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NEW.state IN ('accepted', 'rejected') AND OLD.state = 'in_doubt' THEN RETURN NEW; END IF;
  IF NEW.state = 'retry_wait' AND OLD.state = 'in_doubt' AND (
       NEW.is_pinned AND NOT OLD.is_pinned
       OR EXISTS (SELECT FROM public.messaging_deliveryevent WHERE message_id = NEW.id AND kind = 'late_reply'
                     AND (payload ->> 'attempt')::int = NEW.attempts_made)) THEN
    RETURN NEW;
  END IF;
  IF NOT EXISTS (
       SELECT FROM public.messaging_doubtruling
        WHERE message_id = NEW.id AND verdict = CASE NEW.state WHEN 'closed_unknown' THEN 'close' ELSE 'resend' END
          AND agreed_at >= coalesce(
                (SELECT max(ended_at) FROM public.messaging_deliveryattempt WHERE message_id = NEW.id), '-infinity')) THEN
    RAISE EXCEPTION 'two people decide what becomes of this message' USING ERRCODE = 'HF001',
      HINT = 'One proposes, another agrees; a transport''s own answer settles it without them.';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER b_doubt BEFORE UPDATE OF state ON messaging_message FOR EACH ROW
  WHEN (OLD.state IN ('in_doubt', 'closed_unknown') AND NEW.state <> OLD.state
        AND OLD.on_doubt = 'ask' AND OLD.message_class IN ('privacy_notice', 'incident_notice'))
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
