-- A notice goes from draft to done along these steps, and is sent as a second person approved it: whoever changes its
-- text, its facts or its cohort makes it a draft again. At the start the database counts the cohort once more itself.
CREATE FUNCTION messaging_keep_notice() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  steps jsonb := '{"draft": ["counted", "cancelled"], "counted": ["draft", "approved", "cancelled"],
                   "approved": ["draft", "sending", "cancelled"], "sending": ["paused", "done", "cancelled"],
                   "paused": ["sending", "cancelled"], "done": [], "cancelled": []}';
  found bytea;
BEGIN
  IF TG_OP = 'INSERT' THEN
    IF NEW.state <> 'draft' OR NEW.approved_at IS NOT NULL THEN
      RAISE EXCEPTION 'a notice begins as a draft' USING ERRCODE = 'HF001', HINT = 'Insert a draft and count it.';
    END IF;
    RETURN NEW;
  END IF;
  IF NEW.state <> OLD.state AND NOT steps -> OLD.state::text ? NEW.state::text THEN
    RAISE EXCEPTION '% is %: it cannot become %', OLD.ref, OLD.state, NEW.state USING ERRCODE = 'HF001';
  END IF;
  IF NEW.state <> 'draft' AND (NEW.template_id, NEW.version_id, NEW.context, NEW.purpose, NEW.incident_id,
        NEW.cohort_kind, NEW.cohort, NEW.cohort_digest, NEW.fingerprint, NEW.created_by, NEW.edited_by, NEW.counted_by)
      IS DISTINCT FROM (OLD.template_id, OLD.version_id, OLD.context, OLD.purpose, OLD.incident_id,
        OLD.cohort_kind, OLD.cohort, OLD.cohort_digest, OLD.fingerprint, OLD.created_by, OLD.edited_by, OLD.counted_by)
      AND NOT (OLD.state = 'draft' AND NEW.state = 'counted') THEN
    RAISE EXCEPTION '% was counted: what it says and to whom is fixed', OLD.ref
      USING ERRCODE = 'HF001', HINT = 'Make it a draft again, which takes the approval back.';
  END IF;
  IF OLD.approved_at IS NOT NULL AND NEW.state <> 'draft' AND (NEW.approved_at, NEW.approved_by, NEW.approved_fingerprint)
      IS DISTINCT FROM (OLD.approved_at, OLD.approved_by, OLD.approved_fingerprint) THEN
    RAISE EXCEPTION 'an approval is taken back by making % a draft again, and not changed', OLD.ref
      USING ERRCODE = 'HF001';
  END IF;
  IF NEW.state IN ('draft', 'counted') AND NEW.approved_at IS NOT NULL THEN
    RAISE EXCEPTION 'nobody can have approved a %', NEW.state USING ERRCODE = 'HF001';
  END IF;
  IF OLD.state = 'approved' AND NEW.state = 'sending' THEN
    SELECT sha256(convert_to(coalesce(string_agg(subject_id::text, E'\n' ORDER BY subject_id), ''), 'UTF8')) INTO found
      FROM public.messaging_noticerecipient WHERE notice_id = NEW.id AND excluded = '';
    IF found IS DISTINCT FROM NEW.cohort_digest THEN
      RAISE EXCEPTION 'the people of % are not those who were approved', OLD.ref USING ERRCODE = 'HF001';
    END IF;
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER a_notice BEFORE INSERT OR UPDATE ON messaging_notice FOR EACH ROW
  EXECUTE FUNCTION messaging_keep_notice();
CREATE TRIGGER b_list BEFORE UPDATE OF listed ON messaging_notice FOR EACH ROW
  WHEN (NEW.state <> 'draft' AND NEW.listed IS DISTINCT FROM OLD.listed) EXECUTE FUNCTION holdfast_refuse_change();

-- People are counted into a draft and out of it. After that a row only learns what was owed to its person, once, or
-- that the person turned out to be another recipient.
CREATE FUNCTION messaging_keep_recipient() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF TG_OP = 'UPDATE' THEN
    IF (NEW.id, NEW.notice_id, NEW.subject_id) IS DISTINCT FROM (OLD.id, OLD.notice_id, OLD.subject_id)
       OR OLD.message_id IS NOT NULL
       OR NEW.excluded <> OLD.excluded AND NOT (OLD.excluded = '' AND NEW.excluded = 'merged')
          AND (SELECT state FROM public.messaging_notice WHERE id = OLD.notice_id) <> 'draft' THEN
      RAISE EXCEPTION 'the people of a notice are fixed at counting' USING ERRCODE = 'HF001';
    END IF;
    RETURN NEW;
  END IF;
  IF (SELECT state FROM public.messaging_notice WHERE id = CASE TG_OP WHEN 'DELETE' THEN OLD.notice_id ELSE NEW.notice_id END)
     IS DISTINCT FROM 'draft' THEN
    RAISE EXCEPTION 'the people of a notice are fixed at counting'
      USING ERRCODE = 'HF001', HINT = 'Make it a draft again, and count anew.';
  END IF;
  RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER a_fixed BEFORE INSERT OR UPDATE OR DELETE ON messaging_noticerecipient FOR EACH ROW
  EXECUTE FUNCTION messaging_keep_recipient();
REVOKE TRUNCATE ON messaging_noticerecipient FROM holdfast_app, holdfast_oncall, holdfast_auditor;
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON messaging_noticerecipient
  FOR EACH STATEMENT EXECUTE FUNCTION holdfast_refuse_change();

-- A message of a notice is owed while that is being sent, to one of its people, with the text that was approved.
CREATE FUNCTION messaging_owe_of_notice() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NOT EXISTS (
    SELECT FROM public.messaging_notice n JOIN public.messaging_noticerecipient r ON r.notice_id = n.id
     WHERE n.id = NEW.notice_id AND n.state = 'sending' AND r.subject_id = NEW.subject_id AND r.excluded = ''
       AND n.template_id = NEW.template_key AND (NEW.template_version_id IS NULL OR NEW.template_version_id = n.version_id)
  ) THEN
    RAISE EXCEPTION 'this notice is not being sent, or not to this person, or not with this text' USING ERRCODE = 'HF001';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER b_notice BEFORE INSERT ON messaging_message FOR EACH ROW WHEN (NEW.notice_id IS NOT NULL)
  EXECUTE FUNCTION messaging_owe_of_notice();

-- What comes back from the relay or from a doubt while its notice is paused or cancelled waits with it. Staff may still
-- let a held one go by itself.
CREATE FUNCTION messaging_hold_with_notice() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NEW.state IN ('pending', 'ready', 'retry_wait') AND OLD.state NOT IN ('held', 'pending', 'ready', 'retry_wait')
     AND (SELECT state FROM public.messaging_notice WHERE id = NEW.notice_id) IN ('paused', 'cancelled') THEN
    NEW.state := 'held';
    NEW.held_with_notice := true;
    NEW.settled_at := NULL;
  END IF;
  IF NEW.state <> 'held' THEN NEW.held_with_notice := false; END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER b_held_with_notice BEFORE UPDATE OF state ON messaging_message FOR EACH ROW
  WHEN (NEW.notice_id IS NOT NULL) EXECUTE FUNCTION messaging_hold_with_notice();
