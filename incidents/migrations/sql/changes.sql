-- A change set goes its way step by step. What was planned and approved stays as it is; an edit makes a new revision, and
-- begins in draft again. Nothing is applied that nobody let through: the count is taken here too.
CREATE FUNCTION incidents_keep_change_set() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
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
BEGIN
  IF NEW.state <> OLD.state AND NOT ways -> OLD.state::text ? NEW.state::text THEN
    RAISE EXCEPTION 'a change set that is % cannot become %', OLD.state, NEW.state USING ERRCODE = 'HF013';
  END IF;
  IF (NEW.created_at, NEW.created_by) IS DISTINCT FROM (OLD.created_at, OLD.created_by) OR NEW.revision < OLD.revision THEN
    RAISE EXCEPTION 'who wrote a change set stays, and its revisions only rise' USING ERRCODE = 'HF013';
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
  IF NEW.state = 'applying' AND OLD.state IN ('approved', 'scheduled') AND NEW.seconded_at IS NULL AND (
       (SELECT count(*) FROM public.incidents_changeapproval a
         WHERE a.change_set_id = NEW.id AND a.revision = NEW.revision AND a.plan_digest = NEW.plan_digest
           AND a.verdict = 'approve' AND a.given_by <> NEW.created_by) < NEW.required_approvals
       OR EXISTS (SELECT FROM public.incidents_changeapproval a
                   WHERE a.change_set_id = NEW.id AND a.revision = NEW.revision AND a.plan_digest = NEW.plan_digest
                     AND a.verdict = 'decline')) THEN
    RAISE EXCEPTION 'this plan was not approved by % other people, or somebody declined it', NEW.required_approvals
      USING ERRCODE = 'HF014', HINT = 'Approvals count for one plan of one revision only.';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER keep_change_set BEFORE UPDATE ON incidents_changeset FOR EACH ROW
  WHEN (NEW IS DISTINCT FROM OLD) EXECUTE FUNCTION incidents_keep_change_set();

CREATE FUNCTION incidents_check_approval() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE of_set public.incidents_changeset;
BEGIN
  SELECT * INTO of_set FROM public.incidents_changeset WHERE id = NEW.change_set_id FOR SHARE;
  IF NEW.given_by = of_set.created_by THEN
    RAISE EXCEPTION 'nobody approves their own change set' USING ERRCODE = 'HF014', HINT = 'Ask a colleague.';
  ELSIF of_set.state NOT IN ('in_review', 'approved', 'scheduled')
      OR (NEW.revision, NEW.plan_digest) IS DISTINCT FROM (of_set.revision, of_set.plan_digest) THEN
    RAISE EXCEPTION 'this is not the plan that stands in review' USING ERRCODE = 'HF014', HINT = 'Read it again.';
  END IF;
  NEW.given_at := clock_timestamp();
  RETURN NEW;
END $$;
CREATE TRIGGER a_check BEFORE INSERT ON incidents_changeapproval FOR EACH ROW EXECUTE FUNCTION incidents_check_approval();

-- A planned row is replaced while its set is a draft. After that it says what was approved; only its fate is written, once.
CREATE FUNCTION incidents_keep_planned() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'a planned row stays as it was planned, and its outcome is written once' USING ERRCODE = 'HF013',
    HINT = 'Edit the set and plan it again.';
END $$;
CREATE TRIGGER keep_planned BEFORE UPDATE ON incidents_plannedwrite FOR EACH ROW
  WHEN (OLD.outcome IS NOT NULL
        OR (NEW.id, NEW.change_set_id, NEW.position, NEW.subject_id, NEW.purpose, NEW.channel, NEW.choice,
            NEW.decided_at, NEW.version, NEW.before, NEW.before_explicit, NEW.region, NEW.effect)
           IS DISTINCT FROM
           (OLD.id, OLD.change_set_id, OLD.position, OLD.subject_id, OLD.purpose, OLD.channel, OLD.choice,
            OLD.decided_at, OLD.version, OLD.before, OLD.before_explicit, OLD.region, OLD.effect))
  EXECUTE FUNCTION incidents_keep_planned();
CREATE FUNCTION incidents_check_planned() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM touched t LEFT JOIN public.incidents_changeset s ON s.id = t.change_set_id
              WHERE s.state IS DISTINCT FROM 'draft') THEN
    RAISE EXCEPTION 'only the plan of a draft is made again' USING ERRCODE = 'HF013',
      HINT = 'Edit the set: that makes a new revision.';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER only_of_drafts AFTER INSERT ON incidents_plannedwrite REFERENCING NEW TABLE AS touched
  FOR EACH STATEMENT EXECUTE FUNCTION incidents_check_planned();
CREATE TRIGGER only_of_drafts_deleted AFTER DELETE ON incidents_plannedwrite REFERENCING OLD TABLE AS touched
  FOR EACH STATEMENT EXECUTE FUNCTION incidents_check_planned();
CREATE TRIGGER only_of_drafts AFTER INSERT ON incidents_changerow REFERENCING NEW TABLE AS touched
  FOR EACH STATEMENT EXECUTE FUNCTION incidents_check_planned();

-- What was declared bad by a rollback stays so, and is done once; who began it and why stays too.
CREATE FUNCTION incidents_keep_rollback() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF OLD.ended_at IS NOT NULL
      OR (NEW.change_set_id, NEW.predicate, NEW.reason, NEW.started_at, NEW.started_by)
         IS DISTINCT FROM (OLD.change_set_id, OLD.predicate, OLD.reason, OLD.started_at, OLD.started_by) THEN
    RAISE EXCEPTION 'what a rollback is about, and how it ended, stays' USING ERRCODE = 'HF013';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER keep_rollback BEFORE UPDATE ON incidents_rollback FOR EACH ROW
  WHEN (NEW IS DISTINCT FROM OLD) EXECUTE FUNCTION incidents_keep_rollback();
