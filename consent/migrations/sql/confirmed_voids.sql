-- Nobody lifts opt-outs alone, not even such that nobody chose: a person or a service names who confirmed it. What this
-- product takes back of its own writes is the system's, and waits for nobody.
CREATE OR REPLACE FUNCTION consent_check_void() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
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
  ELSIF bad.choice = 'opt_out' AND NEW.confirmed_by NOT LIKE 'user:%' AND NEW.voided_by ~ '^(user|service):'
      AND NOT EXISTS (SELECT FROM public.consent_decisionvoid v WHERE v.decision_id = NEW.decision_id) THEN
    RAISE EXCEPTION 'decision % is an opt-out: a second person confirms that it is voided', NEW.decision_id
      USING ERRCODE = 'HF018', HINT = 'Name who confirmed it, in confirmed_by.';
  END IF;
  NEW.tx := (pg_current_xact_id()::text)::bigint; NEW.voided_at := clock_timestamp();
  RETURN NEW;
END $$;

GRANT INSERT (confirmed_by) ON consent_decisionvoid TO holdfast_app;
