-- A published version never changes but for its retirement; its bodies never at all. Drafts become published, nothing
-- is born so: what was sent can always be read again, word for word.
CREATE FUNCTION messaging_keep_published() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    IF NEW.state IN ('published', 'retired') THEN
      RAISE EXCEPTION 'a version begins as a draft' USING ERRCODE = 'HF001', HINT = 'Insert a draft and publish it.';
    END IF;
    RETURN NEW;
  END IF;
  IF OLD.state IN ('published', 'retired') THEN
    IF NOT (OLD.state = 'published' AND NEW.state = 'retired')
       OR (to_jsonb(NEW) - '{state,retired_at,retired_by,retired_reason}'::text[])
          IS DISTINCT FROM (to_jsonb(OLD) - '{state,retired_at,retired_by,retired_reason}'::text[]) THEN
      RAISE EXCEPTION 'version % was published: it can only be retired', OLD.number
        USING ERRCODE = 'HF001', HINT = 'Make a new draft of it.';
    END IF;
  ELSIF NEW.state IN ('published', 'retired') THEN
    IF NEW.state = 'retired' OR NEW.content_hash IS NULL OR NEW.published_at IS NULL
       OR NOT EXISTS (SELECT FROM public.messaging_templatebody WHERE version_id = NEW.id AND locale = 'en') THEN
      RAISE EXCEPTION 'a version is published with its hash, its moment and a text in English' USING ERRCODE = 'HF001';
    END IF;
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER a_published BEFORE INSERT OR UPDATE ON messaging_templateversion FOR EACH ROW
  EXECUTE FUNCTION messaging_keep_published();

-- The share lock waits for a publication under way, and is waited for by the next one.
CREATE FUNCTION messaging_keep_published_body() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE ids bigint[] := ARRAY[NEW.version_id];
BEGIN
  IF TG_OP = 'UPDATE' THEN ids := ids || OLD.version_id; END IF;
  PERFORM FROM public.messaging_templateversion WHERE id = ANY (ids) ORDER BY id FOR SHARE;
  IF EXISTS (SELECT FROM public.messaging_templateversion WHERE id = ANY (ids) AND state IN ('published', 'retired')) THEN
    RAISE EXCEPTION 'the text of a published version never changes' USING ERRCODE = 'HF001', HINT = 'Make a new draft of it.';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER a_published BEFORE INSERT OR UPDATE ON messaging_templatebody FOR EACH ROW
  EXECUTE FUNCTION messaging_keep_published_body();

-- An attempt's phase only moves forward, and what it ended with is written once.
CREATE FUNCTION messaging_keep_attempt() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE phases text[] := ARRAY['intent', 'ponr', 'replied'];
BEGIN
  IF OLD.ended_at IS NOT NULL
     OR (NEW.message_id, NEW.number, NEW.transport, NEW.lease, NEW.started_at)
        IS DISTINCT FROM (OLD.message_id, OLD.number, OLD.transport, OLD.lease, OLD.started_at)
     OR array_position(phases, NEW.phase::text) < array_position(phases, OLD.phase::text) THEN
    RAISE EXCEPTION 'an attempt only moves forward' USING ERRCODE = 'HF001';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER a_forward BEFORE UPDATE ON messaging_deliveryattempt FOR EACH ROW EXECUTE FUNCTION messaging_keep_attempt();

-- The bytes on the wire are frozen: they can be erased, not changed, and their hash stays.
CREATE FUNCTION messaging_keep_rendered() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NEW.intent <> OLD.intent OR NEW.subject_id <> OLD.subject_id
     OR NEW.render_hash IS DISTINCT FROM OLD.render_hash AND OLD.render_hash IS NOT NULL
     OR NEW.raw IS DISTINCT FROM OLD.raw AND NEW.raw IS NOT NULL AND OLD.render_hash IS NOT NULL THEN
    RAISE EXCEPTION 'a message is rendered once: its bytes can be erased, not changed' USING ERRCODE = 'HF001';
  END IF;
  IF NEW.raw IS NOT NULL AND sha256(NEW.raw) <> NEW.render_hash THEN
    RAISE EXCEPTION 'the hash is not that of the bytes' USING ERRCODE = 'HF001';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER a_rendered BEFORE UPDATE OF raw, render_hash, intent, subject_id ON messaging_message FOR EACH ROW
  EXECUTE FUNCTION messaging_keep_rendered();

ALTER TABLE messaging_templateversion ENABLE ALWAYS TRIGGER a_published;
ALTER TABLE messaging_templatebody ENABLE ALWAYS TRIGGER a_published;
ALTER TABLE messaging_deliveryattempt ENABLE ALWAYS TRIGGER a_forward;
ALTER TABLE messaging_message ENABLE ALWAYS TRIGGER a_rendered;
