-- As before, but voids are looked up by their key, whatever the planner knows of them: a session that kept the plan of an
-- empty table read all voids at each call (in a hash, or row by row), and undoing took longer with every one undone.
CREATE OR REPLACE FUNCTION consent_effective(key_subject uuid, key_purpose text, key_channel text)
RETURNS SETOF public.consent_decision LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
  SELECT d.* FROM public.consent_decision d
  WHERE d.subject_id = key_subject AND d.purpose = key_purpose AND d.channel = key_channel
    AND (d.explicit OR NOT EXISTS (SELECT FROM public.consent_decisionvoid v WHERE v.decision_id = d.id OFFSET 0))
  ORDER BY d.explicit DESC, d.decided_at DESC, (d.choice = 'opt_out') DESC, d.id LIMIT 1
$$;
