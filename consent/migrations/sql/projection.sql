-- Decisions are the truth; consent is projected from them, and nothing but this trigger writes it.

-- The one decision that counts for a key: newest explicit, else newest non-explicit, ties to out, voids left out.
CREATE FUNCTION consent_effective(key_subject uuid, key_purpose text, key_channel text)
RETURNS SETOF public.consent_decision LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT d.* FROM public.consent_decision d
  WHERE d.subject_id = key_subject AND d.purpose = key_purpose AND d.channel = key_channel
    AND NOT EXISTS (SELECT FROM public.consent_decisionvoid v WHERE v.decision_id = d.id)
  ORDER BY d.explicit DESC, d.decided_at DESC, d.choice DESC, d.id DESC LIMIT 1
$$;

CREATE FUNCTION consent_reversal_is_confirmed(
  the_reversal uuid, key_subject uuid, key_purpose text, key_channel text, after timestamptz
) RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT EXISTS (
    SELECT FROM public.consent_reversal r JOIN public.consent_reversalconfirmation c ON c.reversal_id = r.id
    WHERE r.id = the_reversal AND r.subject_id = key_subject AND r.purpose = key_purpose AND r.channel = key_channel
      AND r.requested_at >= after)
$$;

CREATE FUNCTION consent_project() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  opts_in_explicitly boolean; opts_out_explicitly boolean; opts_out_widely boolean; opts_in_otherwise boolean;
  guard text; bad record;
BEGIN
  SELECT bool_or(explicit AND choice = 'opt_in'), bool_or(explicit AND choice = 'opt_out'),
         bool_or(choice = 'opt_out' AND (purpose = '*' OR channel = '*')), bool_or(NOT explicit AND choice = 'opt_in')
    INTO opts_in_explicitly, opts_out_explicitly, opts_out_widely, opts_in_otherwise FROM fresh;

  -- References, looked up per statement: a foreign key would cost a trigger call per row. The share lock keeps a merge of
  -- the same subject out until this choice is committed; a merge that came first is seen by the look after it.
  PERFORM 1 FROM public.consent_subject s WHERE s.id IN (SELECT subject_id FROM fresh) ORDER BY s.id FOR KEY SHARE;
  SELECT f.subject_id, f.purpose, f.exit_path INTO bad FROM fresh f
   WHERE NOT EXISTS (SELECT FROM public.consent_subject s WHERE s.id = f.subject_id AND s.merged_into_id IS NULL)
      OR (f.purpose <> '*' AND NOT EXISTS (SELECT FROM public.consent_purpose p WHERE p.code = f.purpose))
      OR (f.exit_path <> '' AND NOT EXISTS (SELECT FROM public.consent_exitpath e WHERE e.code = f.exit_path))
   LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'unknown or merged subject %, unknown purpose % or exit path %', bad.subject_id, bad.purpose, bad.exit_path
      USING ERRCODE = 'HF002', HINT = 'Register it first.';
  END IF;

  -- The guard is for what nobody chose. An opt-out passes at every level.
  IF opts_in_otherwise THEN
    SELECT level INTO guard FROM public.consent_guardchange ORDER BY id DESC LIMIT 1;
    IF guard = 'freeze' THEN
      RAISE EXCEPTION 'the guard is at freeze: opt-ins that no person made are refused' USING ERRCODE = 'HF003';
    ELSIF guard = 'protect' THEN
      SELECT f.subject_id, f.purpose, f.channel INTO bad FROM fresh f
       WHERE NOT f.explicit AND f.choice = 'opt_in' AND (f.batch_id IS NULL OR EXISTS (
         SELECT FROM public.consent_consent c
          WHERE c.subject_id = f.subject_id AND c.explicit AND c.state = 'opt_out'
            AND c.purpose IN (f.purpose, '*') AND c.channel IN (f.channel, '*')))
       LIMIT 1;
      IF FOUND THEN
        RAISE EXCEPTION 'the guard is at protect: an opt-in that no person made, for subject % and %/%',
          bad.subject_id, bad.purpose, bad.channel
          USING ERRCODE = 'HF003', DETAIL = format('%s %s %s', bad.subject_id, bad.purpose, bad.channel),
                HINT = 'It has no batch, or an explicit opt-out stands.';
      END IF;
    END IF;
  END IF;

  -- Back in after an explicit opt-out takes two steps. The lock on the subject closes the gap between look and write
  -- for wider scopes; for the same key the guard on consent looks again under the row's own lock.
  IF opts_in_explicitly OR opts_out_widely THEN
    PERFORM 1 FROM public.consent_subject WHERE id IN (
      SELECT subject_id FROM fresh
       WHERE (explicit AND choice = 'opt_in') OR (choice = 'opt_out' AND (purpose = '*' OR channel = '*')))
      ORDER BY id FOR NO KEY UPDATE;
  END IF;
  IF opts_in_explicitly THEN
    SELECT f.subject_id, f.purpose, f.channel INTO bad FROM fresh f JOIN public.consent_consent c
        ON c.subject_id = f.subject_id AND c.explicit AND c.state = 'opt_out'
       AND c.purpose IN (f.purpose, '*') AND c.channel IN (f.channel, '*') AND c.decided_at < f.decided_at
     WHERE f.explicit AND f.choice = 'opt_in'
       AND NOT public.consent_reversal_is_confirmed(f.reversal_id, f.subject_id, f.purpose, f.channel, c.decided_at)
     LIMIT 1;
    IF NOT FOUND AND opts_out_explicitly THEN
      SELECT f.subject_id, f.purpose, f.channel INTO bad FROM fresh f JOIN fresh o
          ON o.subject_id = f.subject_id AND o.explicit AND o.choice = 'opt_out'
         AND o.purpose IN (f.purpose, '*') AND o.channel IN (f.channel, '*') AND o.decided_at < f.decided_at
       WHERE f.explicit AND f.choice = 'opt_in'
         AND NOT public.consent_reversal_is_confirmed(f.reversal_id, f.subject_id, f.purpose, f.channel, o.decided_at)
       LIMIT 1;
    END IF;
    IF bad.subject_id IS NOT NULL THEN
      RAISE EXCEPTION 'an explicit opt-out stands for subject % and %/%', bad.subject_id, bad.purpose, bad.channel
        USING ERRCODE = 'HF004', DETAIL = format('%s %s %s', bad.subject_id, bad.purpose, bad.channel),
              HINT = 'Opting back in takes two steps: request a reversal and confirm it.';
    END IF;
  END IF;

  -- The WHERE compares the locked row with the new decision only: a sub-query on decision would use a snapshot that is
  -- older than the lock, and an older choice could overwrite a newer one.
  INSERT INTO public.consent_consent AS c
    (subject_id, purpose, channel, state, explicit, cause, actor, decided_at, decision_id, version)
  SELECT DISTINCT ON (subject_id, purpose, channel)
         subject_id, purpose, channel, choice, explicit, cause, actor, decided_at, id, 1
    FROM fresh ORDER BY subject_id, purpose, channel, explicit DESC, decided_at DESC, choice DESC, id DESC
  ON CONFLICT (subject_id, purpose, channel) DO UPDATE
    SET state = EXCLUDED.state, explicit = EXCLUDED.explicit, cause = EXCLUDED.cause, actor = EXCLUDED.actor,
        decided_at = EXCLUDED.decided_at, decision_id = EXCLUDED.decision_id
    WHERE c.state IS NULL
       OR (EXCLUDED.explicit AND NOT c.explicit)
       OR (EXCLUDED.explicit = c.explicit AND (EXCLUDED.decided_at > c.decided_at
           OR (EXCLUDED.decided_at = c.decided_at AND EXCLUDED.state > c.state)));
  RETURN NULL;
END $$;
CREATE TRIGGER b_project AFTER INSERT ON consent_decision REFERENCING NEW TABLE AS fresh
  FOR EACH STATEMENT EXECUTE FUNCTION consent_project();

-- Project keys again, under their locks, from what is not void: the one repair for rollback and drift.
-- Two statements, lock then look: joined in one, the look would use a snapshot from before the wait.
CREATE FUNCTION consent_reproject(keys bigint[]) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE rewritten integer;
BEGIN
  PERFORM 1 FROM public.consent_consent WHERE id = ANY (keys) ORDER BY subject_id, purpose, channel FOR UPDATE;
  UPDATE public.consent_consent c
     SET state = e.choice, explicit = coalesce(e.explicit, false), cause = coalesce(e.cause, ''),
         actor = coalesce(e.actor, ''), decided_at = e.decided_at, decision_id = e.id
    FROM public.consent_consent k LEFT JOIN LATERAL public.consent_effective(k.subject_id, k.purpose, k.channel) e ON true
   WHERE k.id = ANY (keys) AND c.id = k.id
     AND (c.state, c.explicit, c.decided_at, c.decision_id)
         IS DISTINCT FROM (e.choice, coalesce(e.explicit, false), e.decided_at, e.id);
  GET DIAGNOSTICS rewritten = ROW_COUNT;
  RETURN rewritten;
END $$;

CREATE FUNCTION consent_project_voids() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM public.consent_reproject(array(
    SELECT c.id FROM fresh f JOIN public.consent_decision d ON d.id = f.decision_id
      JOIN public.consent_consent c
        ON c.subject_id = d.subject_id AND c.purpose = d.purpose AND c.channel = d.channel));
  RETURN NULL;
END $$;
CREATE TRIGGER b_project AFTER INSERT ON consent_decisionvoid REFERENCING NEW TABLE AS fresh
  FOR EACH STATEMENT EXECUTE FUNCTION consent_project_voids();
