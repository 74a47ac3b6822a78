-- An answer goes from an address to a subject, to the subject that speaks for it, to its consents, by the rules of a
-- purpose. Consent stands still while somebody bends that way: so each of these links is held too.

-- A merge hides the consents of the subject that no longer speaks: what it opted out of must stand with the other first.
CREATE FUNCTION consent_check_subject() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NEW.id <> OLD.id THEN
    RAISE EXCEPTION 'the id of a subject never changes' USING ERRCODE = 'HF008';
  ELSIF NEW.merged_into_id IS NULL THEN
    RAISE EXCEPTION 'subject % stays merged', OLD.id USING ERRCODE = 'HF008',
      HINT = 'Choices made since then belong to both.';
  ELSIF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
    RAISE EXCEPTION 'subjects are merged at READ COMMITTED only' USING ERRCODE = 'HF011';
  END IF;
  -- A choice under way holds a share lock on its subject; this waits for it, and the look below sees it.
  PERFORM 1 FROM public.consent_subject
    WHERE id IN (OLD.id, OLD.merged_into_id, NEW.merged_into_id) ORDER BY id FOR UPDATE;
  IF EXISTS (SELECT FROM public.consent_subject WHERE id = NEW.merged_into_id AND merged_into_id IS NOT NULL) THEN
    RAISE EXCEPTION 'subject % was merged itself', NEW.merged_into_id USING ERRCODE = 'HF010';
  ELSIF EXISTS (
    SELECT FROM public.consent_consent c
     WHERE c.subject_id IN (OLD.id, OLD.merged_into_id) AND c.state = 'opt_out' AND NOT EXISTS (
       SELECT FROM public.consent_consent k
        WHERE k.subject_id = NEW.merged_into_id AND k.purpose = c.purpose AND k.channel = c.channel
          AND (k.explicit OR NOT c.explicit) AND (k.state = 'opt_out' OR NOT c.explicit))) THEN
    RAISE EXCEPTION 'an opt-out of subject % does not stand for % yet', OLD.id, NEW.merged_into_id
      USING ERRCODE = 'HF004', HINT = 'Merge through the product: it restates them first.';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER a_merge BEFORE UPDATE ON consent_subject FOR EACH ROW
  WHEN (NEW.id <> OLD.id OR NEW.merged_into_id IS DISTINCT FROM OLD.merged_into_id)
  EXECUTE FUNCTION consent_check_subject();

-- An address stays with its person. What it is sealed with may change, or be erased.
CREATE FUNCTION consent_check_identifier() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF (NEW.id, NEW.kind, NEW.digest) IS DISTINCT FROM (OLD.id, OLD.kind, OLD.digest) OR NOT EXISTS (
    SELECT FROM public.consent_subject WHERE id = OLD.subject_id AND merged_into_id = NEW.subject_id) THEN
    RAISE EXCEPTION 'an identifier moves only with a merge of its subject' USING ERRCODE = 'HF008';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER a_link BEFORE UPDATE ON consent_identifier FOR EACH ROW
  WHEN (NEW.id <> OLD.id OR NEW.kind <> OLD.kind OR NEW.digest <> OLD.digest OR NEW.subject_id <> OLD.subject_id)
  EXECUTE FUNCTION consent_check_identifier();

-- Codes stand in decisions; a purpose that somebody opted out of cannot become one that nobody can opt out of.
CREATE FUNCTION consent_refuse_new_code() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'the code % stands in decisions and never changes', OLD.code USING ERRCODE = 'HF008';
END $$;
CREATE TRIGGER a_code BEFORE UPDATE ON consent_purpose FOR EACH ROW
  WHEN (NEW.code <> OLD.code) EXECUTE FUNCTION consent_refuse_new_code();
CREATE TRIGGER a_code BEFORE UPDATE ON consent_exitpath FOR EACH ROW
  WHEN (NEW.code <> OLD.code) EXECUTE FUNCTION consent_refuse_new_code();

CREATE FUNCTION consent_refuse_mandatory() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'purpose % cannot become mandatory', OLD.code
    USING ERRCODE = 'HF008', HINT = 'People may have opted out of it. Register a new purpose.';
END $$;
CREATE TRIGGER b_mandatory BEFORE UPDATE ON consent_purpose FOR EACH ROW
  WHEN (NEW.regime = 'mandatory' AND OLD.regime <> 'mandatory') EXECUTE FUNCTION consent_refuse_mandatory();
