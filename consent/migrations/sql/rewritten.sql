-- The log can be rewritten by whoever switches triggers off, under a history that goes on telling what it said. Where an
-- opt-out that the history tells of is not in the log as it was, the opt-out is believed: nothing that projects from the
-- log, the repair of drift least of all, may carry such a change out.

-- As before, and the newest opt-out is the newest that either of the two tells of; it is not moved back in time either.
CREATE OR REPLACE FUNCTION consent_guard_opt_out() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE last_out timestamptz;
BEGIN
  IF (NEW.id, NEW.subject_id, NEW.purpose, NEW.channel) IS DISTINCT FROM (OLD.id, OLD.subject_id, OLD.purpose, OLD.channel) THEN
    RAISE EXCEPTION 'the key of a consent never changes' USING ERRCODE = 'HF008';
  END IF;
  SELECT max(decided_at) INTO last_out FROM public.consent_decision
   WHERE subject_id = NEW.subject_id AND purpose = NEW.purpose AND channel = NEW.channel
     AND explicit AND choice = 'opt_out';
  SELECT greatest(last_out, max(decided_at)) INTO last_out FROM public.consent_historicalconsent
   WHERE id = NEW.id AND subject_id = NEW.subject_id AND purpose = NEW.purpose AND channel = NEW.channel
     AND explicit AND state = 'opt_out';
  IF last_out IS NOT NULL AND (NEW.explicit AND NEW.state = 'opt_out' AND NEW.decided_at >= last_out) IS NOT TRUE
      AND ((NEW.explicit AND NEW.state = 'opt_in') IS NOT TRUE OR NOT EXISTS (
    SELECT FROM public.consent_decision d
     WHERE d.subject_id = NEW.subject_id AND d.purpose = NEW.purpose AND d.channel = NEW.channel
       AND d.explicit AND d.choice = 'opt_in' AND d.decided_at > last_out AND d.decided_at <= NEW.decided_at
       AND public.consent_is_reversed(d.reversal_id, d.subject_id, d.purpose, d.channel, d.received_at))) THEN
    RAISE EXCEPTION 'an explicit opt-out stands for subject % and %/%', NEW.subject_id, NEW.purpose, NEW.channel
      USING ERRCODE = 'HF004', DETAIL = format('%s %s %s', NEW.subject_id, NEW.purpose, NEW.channel),
            HINT = 'Opting back in takes two steps: request a reversal and confirm it.';
  END IF;
  RETURN NEW;
END $$;

CREATE OR REPLACE TRIGGER a_guard BEFORE UPDATE ON consent_consent FOR EACH ROW
  WHEN ((OLD.explicit AND OLD.state = 'opt_out'
          AND NOT (NEW.explicit AND coalesce(NEW.state, '') = 'opt_out' AND NEW.decided_at >= OLD.decided_at))
        OR OLD.id <> NEW.id OR OLD.subject_id <> NEW.subject_id OR OLD.purpose <> NEW.purpose OR OLD.channel <> NEW.channel)
  EXECUTE FUNCTION consent_guard_opt_out();

-- As before, and a decision that is there, but is not that opt-out any more, is as lost as one that is gone.
GRANT CREATE ON SCHEMA public TO holdfast_projector;
SET LOCAL ROLE holdfast_projector;
CREATE OR REPLACE FUNCTION consent_restore(subjects uuid[], purposes text[], channels text[]) RETURNS integer LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE restored bigint[];
BEGIN
  IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
    RAISE EXCEPTION 'consent is projected again at READ COMMITTED only' USING ERRCODE = 'HF011';
  END IF;
  PERFORM 1 FROM public.consent_subject s WHERE s.id = ANY (subjects) ORDER BY s.id FOR KEY SHARE;
  WITH keys AS (
    SELECT DISTINCT k.subject_id, k.purpose, k.channel FROM unnest(subjects, purposes, channels) AS k(subject_id, purpose, channel)
     WHERE NOT EXISTS (SELECT FROM public.consent_consent c
                        WHERE c.subject_id = k.subject_id AND c.purpose = k.purpose AND c.channel = k.channel)
  ), told AS (
    SELECT DISTINCT ON (h.subject_id, h.purpose, h.channel) h.*,
           h.explicit AND h.state = 'opt_out'
             AND NOT EXISTS (
               SELECT FROM public.consent_decision d
                WHERE d.id = h.decision_id AND d.explicit AND d.choice = 'opt_out' AND d.decided_at = h.decided_at
                  AND d.subject_id = h.subject_id AND d.purpose = h.purpose AND d.channel = h.channel) AS is_lost
      FROM public.consent_historicalconsent h WHERE h.subject_id = ANY (subjects)
     ORDER BY h.subject_id, h.purpose, h.channel, h.history_id DESC
  ), back AS (
    INSERT INTO public.consent_consent
      (id, subject_id, purpose, channel, state, explicit, cause, actor, decided_at, decision_id, version, previous)
    SELECT coalesce(t.id, nextval('public.consent_consent_id_seq')), k.subject_id, k.purpose, k.channel,
           CASE WHEN l.yes THEN t.state ELSE e.choice END, CASE WHEN l.yes THEN true ELSE coalesce(e.explicit, false) END,
           CASE WHEN l.yes THEN t.cause ELSE coalesce(e.cause, '') END,
           CASE WHEN l.yes THEN t.actor ELSE coalesce(e.actor, '') END,
           CASE WHEN l.yes THEN t.decided_at ELSE e.decided_at END, CASE WHEN l.yes THEN t.decision_id ELSE e.id END,
           coalesce(t.version, 0) + 1, t.state
      FROM keys k
      LEFT JOIN LATERAL public.consent_effective(k.subject_id, k.purpose, k.channel) e ON true
      LEFT JOIN told t ON t.subject_id = k.subject_id AND t.purpose = k.purpose AND t.channel = k.channel
     CROSS JOIN LATERAL (
       SELECT coalesce(t.is_lost AND NOT coalesce(
         e.explicit AND e.choice = 'opt_out' AND e.decided_at >= t.decided_at, false), false) AS yes) l
     WHERE e.id IS NOT NULL OR t.id IS NOT NULL
    ON CONFLICT (subject_id, purpose, channel) DO NOTHING
    RETURNING id, decision_id
  )
  SELECT array_agg(id) INTO restored FROM back;
  RETURN coalesce(cardinality(restored), 0);
END $$;
SET LOCAL ROLE holdfast_owner;
REVOKE CREATE ON SCHEMA public FROM holdfast_projector;
