-- A version that was approved says what it said: only its way through the states is written after that, once.
CREATE FUNCTION incidents_keep_version() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  steps jsonb := '{"draft": ["approved", "retired"], "approved": ["published", "retired"],
                   "published": ["retired"], "retired": []}';
BEGIN
  IF NEW.state <> OLD.state AND NOT steps -> OLD.state::text ? NEW.state::text THEN
    RAISE EXCEPTION 'a version that is % cannot become %', OLD.state, NEW.state
      USING ERRCODE = 'HF001', HINT = 'Write a new version.';
  END IF;
  IF (NEW.playbook_id, NEW.number, NEW.created_at, NEW.created_by)
      IS DISTINCT FROM (OLD.playbook_id, OLD.number, OLD.created_at, OLD.created_by)
      OR (OLD.state <> 'draft' OR NEW.state <> 'draft')
         AND (NEW.steps, NEW.attached, NEW.digest) IS DISTINCT FROM (OLD.steps, OLD.attached, OLD.digest) THEN
    RAISE EXCEPTION 'this version was approved: its steps are fixed'
      USING ERRCODE = 'HF001', HINT = 'Write a new version.';
  END IF;
  IF OLD.approved_at IS NOT NULL AND (NEW.approved_at, NEW.approved_by)
        IS DISTINCT FROM (OLD.approved_at, OLD.approved_by)
      OR OLD.published_at IS NOT NULL AND (NEW.published_at, NEW.published_by)
        IS DISTINCT FROM (OLD.published_at, OLD.published_by)
      OR OLD.retired_at IS NOT NULL AND (NEW.retired_at, NEW.retired_by)
        IS DISTINCT FROM (OLD.retired_at, OLD.retired_by) THEN
    RAISE EXCEPTION 'who approved, published and retired a version is written once' USING ERRCODE = 'HF001';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER keep_version BEFORE UPDATE ON incidents_playbookversion FOR EACH ROW
  EXECUTE FUNCTION incidents_keep_version();

-- A run follows the steps that it was started with, to its end, and is not begun again.
CREATE FUNCTION incidents_keep_run() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF (NEW.incident_id, NEW.playbook_id, NEW.version_id, NEW.steps, NEW.trigger, NEW.reason, NEW.started_at,
        NEW.started_by) IS DISTINCT FROM (OLD.incident_id, OLD.playbook_id, OLD.version_id, OLD.steps, OLD.trigger,
        OLD.reason, OLD.started_at, OLD.started_by) THEN
    RAISE EXCEPTION 'a run keeps the steps that it was started with' USING ERRCODE = 'HF001';
  END IF;
  IF OLD.ended_at IS NOT NULL AND NEW IS DISTINCT FROM OLD THEN
    RAISE EXCEPTION 'this run has ended' USING ERRCODE = 'HF001', HINT = 'Start the playbook again.';
  END IF;
  IF NEW.position < OLD.position THEN
    RAISE EXCEPTION 'a run does not go back' USING ERRCODE = 'HF001';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER keep_run BEFORE UPDATE ON incidents_playbookrun FOR EACH ROW EXECUTE FUNCTION incidents_keep_run();

-- What is done is done once: it may be taken back, and nothing else.
CREATE FUNCTION incidents_keep_step() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF OLD.state IN ('skipped', 'compensated') AND NEW IS DISTINCT FROM OLD
      OR OLD.state = 'succeeded' AND NEW IS DISTINCT FROM OLD AND NEW.state <> 'compensated' THEN
    RAISE EXCEPTION 'this step is %: it is not done again', OLD.state USING ERRCODE = 'HF001';
  END IF;
  IF (NEW.run_id, NEW.position, NEW.key, NEW.kind) IS DISTINCT FROM (OLD.run_id, OLD.position, OLD.key, OLD.kind) THEN
    RAISE EXCEPTION 'a step stays where it is' USING ERRCODE = 'HF001';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER keep_step BEFORE UPDATE ON incidents_steprun FOR EACH ROW EXECUTE FUNCTION incidents_keep_step();
