-- What no login of ours can do, an administrator who switched triggers off can: flip a state, or delete its row. The log
-- still says what holds. consent_reproject() puts a state right; consent_restore() puts a deleted row back.

-- A row that comes back goes on where its history ended: the gap that a deletion leaves is not papered over by a new
-- beginning. Nobody but the projection inserts here (guard.sql), and of its functions only consent_restore() names a version.
CREATE OR REPLACE FUNCTION consent_stamp() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    NEW.version := greatest(coalesce(NEW.version, 1), 1); NEW.changed_at := clock_timestamp();
    IF NEW.version = 1 THEN NEW.previous := NULL; END IF;
  ELSE
    NEW.version := OLD.version + 1; NEW.previous := OLD.state;
    NEW.changed_at := greatest(clock_timestamp(), OLD.changed_at + interval '1 microsecond');
  END IF;
  RETURN NEW;
END $$;

-- Keys without a row get it back, under their old number, as the log says. Where the log lost the opt-out that the history
-- tells of, the history is believed: in doubt it is an opt-out, and the scan goes on to say that its decision is missing.
-- Returns how many came back; a choice that arrived meanwhile made the row itself, and stands.
CREATE FUNCTION consent_restore(subjects uuid[], purposes text[], channels text[]) RETURNS integer LANGUAGE plpgsql
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
             AND NOT EXISTS (SELECT FROM public.consent_decision d WHERE d.id = h.decision_id) AS is_lost
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
       SELECT coalesce(t.is_lost AND NOT coalesce(e.explicit AND e.choice = 'opt_out', false), false) AS yes) l
     WHERE e.id IS NOT NULL OR t.id IS NOT NULL
    ON CONFLICT (subject_id, purpose, channel) DO NOTHING
    RETURNING id, decision_id
  )
  SELECT array_agg(id) INTO restored FROM back;
  RETURN coalesce(cardinality(restored), 0);
END $$;

GRANT SELECT ON consent_historicalconsent TO holdfast_projector;
GRANT USAGE ON SEQUENCE consent_consent_id_seq TO holdfast_projector;
REVOKE EXECUTE ON FUNCTION consent_restore(uuid[], text[], text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION consent_restore(uuid[], text[], text[]) TO holdfast_app;

GRANT CREATE ON SCHEMA public TO holdfast_projector;
SET LOCAL ROLE NONE;
ALTER FUNCTION consent_restore(uuid[], text[], text[]) OWNER TO holdfast_projector;
SET LOCAL ROLE holdfast_owner;
REVOKE CREATE ON SCHEMA public FROM holdfast_projector;
