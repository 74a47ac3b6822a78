-- Whoever edited a change set wrote it too: they neither approve it nor confirm that it goes without approvals. A bypass
-- is of the plan that it was asked for, as an approval is of the one that was read.
CREATE OR REPLACE FUNCTION incidents_keep_change_set() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  ways jsonb := '{
    "draft": ["in_review", "cancelled"],
    "in_review": ["approved", "rejected", "stale", "draft", "cancelled"],
    "approved": ["scheduled", "applying", "rejected", "stale", "draft", "cancelled"],
    "scheduled": ["approved", "applying", "rejected", "stale", "draft", "cancelled"],
    "applying": ["validating", "paused", "rolling_back"],
    "validating": ["applied", "paused", "rolling_back"],
    "paused": ["applying", "rolling_back"],
    "applied": ["rolling_back"],
    "rolling_back": ["rolled_back"],
    "rejected": ["draft"],
    "stale": ["draft", "cancelled"],
    "rolled_back": [], "cancelled": []}';
  wrote varchar[] := NEW.created_by || NEW.editors;
BEGIN
  IF NEW.state <> OLD.state AND NOT ways -> OLD.state::text ? NEW.state::text THEN
    RAISE EXCEPTION 'a change set that is % cannot become %', OLD.state, NEW.state USING ERRCODE = 'HF013';
  END IF;
  IF (NEW.created_at, NEW.created_by) IS DISTINCT FROM (OLD.created_at, OLD.created_by)
      OR NOT OLD.editors <@ NEW.editors OR NEW.revision < OLD.revision THEN
    RAISE EXCEPTION 'who wrote or edited a change set stays, and its revisions only rise' USING ERRCODE = 'HF013';
  END IF;
  IF (OLD.state <> 'draft' OR NEW.state <> 'draft') AND NEW.revision = OLD.revision
      AND (NEW.operations, NEW.selector, NEW.kind, NEW.leaves_protected, NEW.batch_size, NEW.validation_policy,
           NEW.plan_digest, NEW.required_approvals, NEW.base_revision)
          IS DISTINCT FROM
          (OLD.operations, OLD.selector, OLD.kind, OLD.leaves_protected, OLD.batch_size, OLD.validation_policy,
           OLD.plan_digest, OLD.required_approvals, OLD.base_revision) THEN
    RAISE EXCEPTION 'a change set is fixed once it was submitted' USING ERRCODE = 'HF013',
      HINT = 'Edit it: that makes a new revision, which is planned and approved anew.';
  END IF;
  IF NEW.seconded_by NOT IN ('', OLD.seconded_by) AND NEW.seconded_by = ANY (wrote) THEN
    RAISE EXCEPTION 'nobody confirms the bypass of their own change set' USING ERRCODE = 'HF014', HINT = 'Ask a colleague.';
  END IF;
  IF NEW.state = 'applying' AND OLD.state IN ('approved', 'scheduled')
      AND (NEW.seconded_at IS NULL OR NEW.bypass_digest IS DISTINCT FROM NEW.plan_digest) AND (
       (SELECT count(*) FROM public.incidents_changeapproval a
         WHERE a.change_set_id = NEW.id AND a.revision = NEW.revision AND a.plan_digest = NEW.plan_digest
           AND a.verdict = 'approve' AND a.given_by <> ALL (wrote)) < NEW.required_approvals
       OR EXISTS (SELECT FROM public.incidents_changeapproval a
                   WHERE a.change_set_id = NEW.id AND a.revision = NEW.revision AND a.plan_digest = NEW.plan_digest
                     AND a.verdict = 'decline')) THEN
    RAISE EXCEPTION 'this plan was not approved by % other people, or somebody declined it', NEW.required_approvals
      USING ERRCODE = 'HF014', HINT = 'Approvals count for one plan of one revision only.';
  END IF;
  IF NEW.state = 'rolling_back' AND OLD.state = 'applied' AND NOT EXISTS (
       SELECT FROM public.incidents_rollback r WHERE r.change_set_id = NEW.id AND r.ended_at IS NULL
          AND (r.opt_out_count = 0 OR r.confirmed_by LIKE 'user:%' OR r.started_by LIKE 'system:%')) THEN
    RAISE EXCEPTION 'opt-outs of a set that was applied are lifted by two people' USING ERRCODE = 'HF014',
      HINT = 'Ask for it, and have a colleague confirm it.';
  END IF;
  RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION incidents_check_approval() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE of_set public.incidents_changeset;
BEGIN
  SELECT * INTO of_set FROM public.incidents_changeset WHERE id = NEW.change_set_id FOR SHARE;
  IF NEW.given_by = of_set.created_by OR NEW.given_by = ANY (of_set.editors) THEN
    RAISE EXCEPTION 'nobody approves their own change set' USING ERRCODE = 'HF014', HINT = 'Ask a colleague.';
  ELSIF of_set.state NOT IN ('in_review', 'approved', 'scheduled')
      OR (NEW.revision, NEW.plan_digest) IS DISTINCT FROM (of_set.revision, of_set.plan_digest) THEN
    RAISE EXCEPTION 'this is not the plan that stands in review' USING ERRCODE = 'HF014', HINT = 'Read it again.';
  END IF;
  NEW.given_at := clock_timestamp();
  RETURN NEW;
END $$;

-- What a change set wrote is taken back with it, and not behind its back: it would go on, and stand as applied.
CREATE FUNCTION incidents_keep_batches_of_sets() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE of_set bigint;
BEGIN
  SELECT s.id INTO of_set FROM fresh f
   CROSS JOIN LATERAL (SELECT d.batch_id FROM public.consent_decision d WHERE d.id = f.decision_id OFFSET 0) d
    JOIN public.incidents_changebatch b ON b.batch_id = d.batch_id
    JOIN public.incidents_changeset s ON s.id = b.change_set_id AND s.state NOT IN ('rolling_back', 'rolled_back')
   LIMIT 1;
  IF of_set IS NOT NULL THEN
    RAISE EXCEPTION 'CS-% wrote this: it is taken back as a whole', of_set USING ERRCODE = 'HF019',
      HINT = 'Take the change set back.';
  END IF;
  RETURN NULL;
END $$;
REVOKE EXECUTE ON FUNCTION incidents_keep_batches_of_sets() FROM PUBLIC;
CREATE TRIGGER c_batches_of_sets AFTER INSERT ON consent_decisionvoid REFERENCING NEW TABLE AS fresh
  FOR EACH STATEMENT EXECUTE FUNCTION incidents_keep_batches_of_sets();
