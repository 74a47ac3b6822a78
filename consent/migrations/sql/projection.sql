-- Decisions are the truth; consent is projected from them, and nothing but these functions writes it. They run as
-- holdfast_projector (roles.sql), which nobody can become.

-- The one decision that counts for a key: newest explicit, else newest non-explicit, ties to out, then to the first.
-- Voids are left out; a void of an explicit decision counts for nothing.
CREATE FUNCTION consent_effective(key_subject uuid, key_purpose text, key_channel text)
RETURNS SETOF public.consent_decision LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT d.* FROM public.consent_decision d
  WHERE d.subject_id = key_subject AND d.purpose = key_purpose AND d.channel = key_channel
    AND (d.explicit OR NOT EXISTS (SELECT FROM public.consent_decisionvoid v WHERE v.decision_id = d.id))
  ORDER BY d.explicit DESC, d.decided_at DESC, (d.choice = 'opt_out') DESC, d.id LIMIT 1
$$;

-- The opt-in received at `received` is the second of two steps: both were taken, in two transactions, for its very key,
-- and the first came after every opt-out of that scope that the database had then received, whatever its decided_at.
CREATE FUNCTION consent_is_reversed(
  the_reversal uuid, key_subject uuid, key_purpose text, key_channel text, received timestamptz
) RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT EXISTS (
    SELECT FROM public.consent_reversal r JOIN public.consent_reversalconfirmation c ON c.reversal_id = r.id
    WHERE r.id = the_reversal AND r.subject_id = key_subject AND r.purpose = key_purpose AND r.channel = key_channel
      AND c.tx <> r.tx AND NOT EXISTS (
        SELECT FROM public.consent_decision o
         WHERE o.subject_id = key_subject AND o.purpose IN (key_purpose, '*') AND o.channel IN (key_channel, '*')
           AND o.explicit AND o.choice = 'opt_out' AND o.received_at BETWEEN r.requested_at AND received))
$$;

-- A session keeps the plans of its first call here, for one row and for 5,000 alike. Without hash and merge joins and
-- whole-table scans there is one plan for both: a walk over the rows at hand with an index look-up each.
CREATE FUNCTION consent_project() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
DECLARE
  opts_in_explicitly boolean; opts_out_explicitly boolean; opts_out_widely boolean; opts_in_otherwise boolean;
  first_id bigint; last_id bigint; guard text; bad record;
BEGIN
  IF TG_RELID <> 'public.consent_decision'::regclass THEN
    RAISE EXCEPTION 'consent is projected from decisions, not from %', TG_TABLE_NAME USING ERRCODE = 'HF009';
  END IF;
  SELECT bool_or(explicit AND choice = 'opt_in'), bool_or(explicit AND choice = 'opt_out'),
         bool_or(choice = 'opt_out' AND (purpose = '*' OR channel = '*')), bool_or(NOT explicit AND choice = 'opt_in'),
         min(id), max(id)
    INTO opts_in_explicitly, opts_out_explicitly, opts_out_widely, opts_in_otherwise, first_id, last_id FROM fresh;

  -- References, looked up per statement: a foreign key would cost a trigger call per row. The share lock keeps a merge of
  -- the same subject out until this choice is committed; a merge that came first is seen by the look after it.
  PERFORM 1 FROM public.consent_subject s WHERE s.id IN (SELECT subject_id FROM fresh) ORDER BY s.id FOR KEY SHARE;
  SELECT f.subject_id, f.purpose, f.channel, f.exit_path, s.merged_into_id INTO bad
    FROM fresh f LEFT JOIN public.consent_subject s ON s.id = f.subject_id
      LEFT JOIN public.consent_purpose p ON p.code = f.purpose
      LEFT JOIN public.consent_exitpath e ON e.code = f.exit_path
   WHERE s.id IS NULL OR s.merged_into_id IS NOT NULL OR (p.code IS NULL AND f.purpose <> '*')
      OR (e.code IS NULL AND f.exit_path <> '')
   LIMIT 1;
  IF bad.merged_into_id IS NOT NULL THEN
    RAISE EXCEPTION 'subject % was merged into %', bad.subject_id, bad.merged_into_id
      USING ERRCODE = 'HF010', HINT = 'Record the choice for the other one.';
  ELSIF FOUND THEN
    RAISE EXCEPTION 'unknown subject %, purpose % or exit path %', bad.subject_id, bad.purpose, bad.exit_path
      USING ERRCODE = 'HF002', DETAIL = format('%s %s %s', bad.subject_id, bad.purpose, bad.channel),
            HINT = 'Register it first.';
  END IF;

  -- A snapshot older than this statement would not see an opt-out, a guard or a void that came meanwhile.
  IF (opts_in_explicitly OR opts_in_otherwise)
     AND current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
    RAISE EXCEPTION 'an opt-in is recorded at READ COMMITTED only' USING ERRCODE = 'HF011';
  END IF;

  -- The guard is for what nobody chose. An opt-out passes at every level. Whoever is not the site, such as the 2 a.m.
  -- login, meets the guard at protect at least: what it opts in can be undone as one batch.
  IF opts_in_otherwise THEN
    SELECT level INTO guard FROM public.consent_guardchange ORDER BY id DESC LIMIT 1;
    IF guard = 'freeze' THEN
      RAISE EXCEPTION 'the guard is at freeze: opt-ins that no person made are refused' USING ERRCODE = 'HF003';
    ELSIF guard = 'protect' OR NOT pg_has_role(session_user, 'holdfast_app', 'MEMBER') THEN
      SELECT f.subject_id, f.purpose, f.channel INTO bad FROM fresh f
       WHERE NOT f.explicit AND f.choice = 'opt_in'
         AND (NOT EXISTS (SELECT FROM public.consent_batch b WHERE b.id = f.batch_id)
              OR EXISTS (SELECT FROM public.consent_consent c
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
    -- Saying yes again where a wider opt-out was lifted already, for this or more, needs no two steps again.
    SELECT f.subject_id, f.purpose, f.channel INTO bad FROM fresh f JOIN public.consent_consent c
        ON c.subject_id = f.subject_id AND c.explicit AND c.state = 'opt_out'
       AND c.purpose IN (f.purpose, '*') AND c.channel IN (f.channel, '*') AND c.decided_at < f.decided_at
     WHERE f.explicit AND f.choice = 'opt_in'
       AND NOT public.consent_is_reversed(f.reversal_id, f.subject_id, f.purpose, f.channel, f.received_at)
       AND NOT EXISTS (
         SELECT FROM public.consent_consent i
          WHERE i.subject_id = f.subject_id AND i.explicit AND i.state = 'opt_in' AND i.decided_at > c.decided_at
            AND i.purpose IN (f.purpose, '*') AND i.channel IN (f.channel, '*')
            AND c.purpose IN (i.purpose, '*') AND c.channel IN (i.channel, '*'))
     LIMIT 1;
    IF NOT FOUND AND opts_out_explicitly THEN
      -- Out and back in by one statement is one step. The log has an index; the statement's own rows have none.
      SELECT f.subject_id, f.purpose, f.channel INTO bad FROM fresh f JOIN public.consent_decision o
          ON o.subject_id = f.subject_id AND o.id BETWEEN first_id AND last_id
         AND o.tx = (pg_current_xact_id()::text)::bigint AND o.explicit AND o.choice = 'opt_out'
         AND o.purpose IN (f.purpose, '*') AND o.channel IN (f.channel, '*') AND o.decided_at < f.decided_at
       WHERE f.explicit AND f.choice = 'opt_in'
       LIMIT 1;
    END IF;
    IF bad.subject_id IS NOT NULL THEN
      RAISE EXCEPTION 'an explicit opt-out stands for subject % and %/%', bad.subject_id, bad.purpose, bad.channel
        USING ERRCODE = 'HF004', DETAIL = format('%s %s %s', bad.subject_id, bad.purpose, bad.channel),
              HINT = 'Opting back in takes two steps: request a reversal and confirm it.';
    END IF;
  END IF;

  -- The WHERE compares the locked row with the new decision only: a sub-query on decision would use a snapshot that is
  -- older than the lock, and an older choice could overwrite a newer one. It is the order of consent_effective, so that
  -- the same decisions end in the same state in whichever order they commit.
  INSERT INTO public.consent_consent AS c
    (subject_id, purpose, channel, state, explicit, cause, actor, decided_at, decision_id, version)
  SELECT DISTINCT ON (subject_id, purpose, channel)
         subject_id, purpose, channel, choice, explicit, cause, actor, decided_at, id, 1
    FROM fresh ORDER BY subject_id, purpose, channel, explicit DESC, decided_at DESC, (choice = 'opt_out') DESC, id
  ON CONFLICT (subject_id, purpose, channel) DO UPDATE
    SET state = EXCLUDED.state, explicit = EXCLUDED.explicit, cause = EXCLUDED.cause, actor = EXCLUDED.actor,
        decided_at = EXCLUDED.decided_at, decision_id = EXCLUDED.decision_id
    WHERE c.state IS NULL
       OR (EXCLUDED.explicit, EXCLUDED.decided_at, EXCLUDED.state = 'opt_out', c.decision_id)
          > (c.explicit, c.decided_at, c.state = 'opt_out', EXCLUDED.decision_id);

  -- One statement may record a decision and void it, and its triggers come in either order.
  IF EXISTS (SELECT FROM public.consent_decisionvoid v WHERE v.decision_id BETWEEN first_id AND last_id) THEN
    PERFORM public.consent_reproject(array(
      SELECT c.id FROM fresh f JOIN public.consent_consent c
          ON c.subject_id = f.subject_id AND c.purpose = f.purpose AND c.channel = f.channel));
  END IF;
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
  IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
    RAISE EXCEPTION 'consent is projected again at READ COMMITTED only' USING ERRCODE = 'HF011';
  END IF;
  PERFORM 1 FROM public.consent_consent WHERE id = ANY (keys) ORDER BY subject_id, purpose, channel FOR UPDATE;
  UPDATE public.consent_consent c
     SET state = e.choice, explicit = coalesce(e.explicit, false), cause = coalesce(e.cause, ''),
         actor = coalesce(e.actor, ''), decided_at = e.decided_at, decision_id = e.id
    FROM public.consent_consent k LEFT JOIN LATERAL public.consent_effective(k.subject_id, k.purpose, k.channel) e ON true
   WHERE k.id = ANY (keys) AND c.id = k.id
     AND (c.state, c.explicit, c.cause, c.actor, c.decided_at, c.decision_id)
         IS DISTINCT FROM
         (e.choice, coalesce(e.explicit, false), coalesce(e.cause, ''), coalesce(e.actor, ''), e.decided_at, e.id);
  GET DIAGNOSTICS rewritten = ROW_COUNT;
  RETURN rewritten;
END $$;

CREATE FUNCTION consent_project_voids() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
BEGIN
  PERFORM public.consent_reproject(array(
    SELECT c.id FROM fresh f JOIN public.consent_decision d ON d.id = f.decision_id
      JOIN public.consent_consent c
        ON c.subject_id = d.subject_id AND c.purpose = d.purpose AND c.channel = d.channel));
  RETURN NULL;
END $$;
CREATE TRIGGER b_project AFTER INSERT ON consent_decisionvoid REFERENCING NEW TABLE AS fresh
  FOR EACH STATEMENT EXECUTE FUNCTION consent_project_voids();
