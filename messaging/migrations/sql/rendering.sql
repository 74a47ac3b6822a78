-- What was checked, approved and published is one content: schema, samples and every language, as the database reads
-- them. Nobody else computes this hash.
CREATE FUNCTION messaging_content_hash(version bigint) RETURNS bytea LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
  SELECT sha256(convert_to(jsonb_build_array(v.context_schema, v.samples, (
           SELECT jsonb_agg(jsonb_build_array(b.locale, b.subject, b.text, b.html, b.inlined) ORDER BY b.locale COLLATE "C")
             FROM public.messaging_templatebody b WHERE b.version_id = v.id))::text, 'UTF8'))
    FROM public.messaging_templateversion v WHERE v.id = version
$$;
GRANT EXECUTE ON FUNCTION messaging_content_hash(bigint) TO holdfast_app, holdfast_oncall, holdfast_auditor;

-- One step after the other, each for the content that the step before it saw. A change of content, or of its author,
-- takes the check and the approval away; a published version never changes but for its retirement.
CREATE OR REPLACE FUNCTION messaging_keep_published() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE kept text[] := '{state,retired_at,retired_by,retired_reason}';
BEGIN
  IF TG_OP = 'INSERT' THEN
    IF NEW.state <> 'draft' THEN
      RAISE EXCEPTION 'a version begins as a draft' USING ERRCODE = 'HF001',
        HINT = 'Insert a draft; check, approve and publish it.';
    END IF;
    RETURN NEW;
  END IF;
  IF OLD.state IN ('published', 'retired') THEN
    IF NOT (OLD.state = 'published' AND NEW.state = 'retired' AND NEW.retired_at IS NOT NULL)
       OR (to_jsonb(NEW) - kept) IS DISTINCT FROM (to_jsonb(OLD) - kept) THEN
      RAISE EXCEPTION 'version % was published: it can only be retired', OLD.number
        USING ERRCODE = 'HF001', HINT = 'Make a new draft of it.';
    END IF;
    RETURN NEW;
  END IF;
  IF (NEW.template_id, NEW.number) IS DISTINCT FROM (OLD.template_id, OLD.number) THEN
    RAISE EXCEPTION 'a version keeps its template and its number' USING ERRCODE = 'HF001';
  END IF;
  IF OLD.state IN ('checked', 'approved') AND (
       (NEW.context_schema, NEW.samples, NEW.snapshots, NEW.created_by)
       IS DISTINCT FROM (OLD.context_schema, OLD.samples, OLD.snapshots, OLD.created_by)
       OR NEW.content_hash IS DISTINCT FROM OLD.content_hash AND NEW.state <> 'draft') THEN
    IF NEW.state NOT IN (OLD.state, 'draft') THEN
      RAISE EXCEPTION 'the content changed since it was %', OLD.state USING ERRCODE = 'HF001', HINT = 'Check it again.';
    END IF;
    NEW.state := 'draft';
  END IF;
  IF NEW.state = 'draft' THEN
    IF OLD.state <> 'draft' AND NEW.returned_at IS NOT DISTINCT FROM OLD.returned_at THEN
      NEW.returned_at := clock_timestamp();
      NEW.returned_by := NEW.created_by;
      NEW.returned_reason := 'Its content was changed.';
    END IF;
    NEW.checked_at := NULL; NEW.checked_by := ''; NEW.checked_reason := '';
    NEW.approved_at := NULL; NEW.approved_by := ''; NEW.approved_reason := '';
    NEW.content_hash := NULL;
    RETURN NEW;
  END IF;
  IF NEW.state = OLD.state AND NEW IS NOT DISTINCT FROM OLD THEN
    RETURN NEW;
  END IF;
  IF (OLD.state, NEW.state) NOT IN (('draft', 'checked'), ('checked', 'approved'), ('approved', 'published')) THEN
    RAISE EXCEPTION 'a version goes from draft to checked, approved and published: not from % to %', OLD.state, NEW.state
      USING ERRCODE = 'HF001', HINT = 'Take one step after the other; back to draft from anywhere before publishing.';
  END IF;
  -- The check's moment and person stay what they were, and so do the approval's.
  IF OLD.state <> 'draft' AND (NEW.checked_at, NEW.checked_by) IS DISTINCT FROM (OLD.checked_at, OLD.checked_by)
     OR OLD.state = 'approved' AND (NEW.approved_at, NEW.approved_by) IS DISTINCT FROM (OLD.approved_at, OLD.approved_by) THEN
    RAISE EXCEPTION 'who checked and approved it is written once' USING ERRCODE = 'HF001';
  END IF;
  IF OLD.state <> 'draft' AND NEW.content_hash IS DISTINCT FROM public.messaging_content_hash(NEW.id) THEN
    RAISE EXCEPTION 'the content is not the one that was checked' USING ERRCODE = 'HF001', HINT = 'Check it again.';
  END IF;
  IF NEW.state = 'published' AND (NEW.published_at IS NULL OR NOT EXISTS (
       SELECT FROM public.messaging_templatebody WHERE version_id = NEW.id AND locale = 'en')) THEN
    RAISE EXCEPTION 'a version is published with its moment and a text in English' USING ERRCODE = 'HF001';
  END IF;
  RETURN NEW;
END $$;

-- The hash of a check is taken from the row as it then stands, so after it was written.
CREATE FUNCTION messaging_hash_is_that_of_the_content() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NEW.content_hash IS DISTINCT FROM public.messaging_content_hash(NEW.id) THEN
    RAISE EXCEPTION 'the hash is not that of the content' USING ERRCODE = 'HF001',
      HINT = 'Set content_hash to messaging_content_hash(id) when the version is checked.';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER b_hashed AFTER UPDATE ON messaging_templateversion FOR EACH ROW
  WHEN (NEW.state = 'checked' AND OLD.state = 'draft') EXECUTE FUNCTION messaging_hash_is_that_of_the_content();

-- A text that changes after its check takes the check and the approval away. The lock waits for a publication under way.
CREATE FUNCTION messaging_return_to_draft() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE public.messaging_templateversion SET state = 'draft'
   WHERE id = NEW.version_id AND state IN ('checked', 'approved');
  IF TG_OP = 'UPDATE' AND OLD.version_id <> NEW.version_id THEN
    UPDATE public.messaging_templateversion SET state = 'draft'
     WHERE id = OLD.version_id AND state IN ('checked', 'approved');
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER b_returned AFTER INSERT OR UPDATE ON messaging_templatebody FOR EACH ROW
  EXECUTE FUNCTION messaging_return_to_draft();
