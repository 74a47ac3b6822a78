-- What was delivered stays as it came, and its fate, with all groups that it told of, is written once. A wipe takes the
-- sender's words with it: also the id of the event, and a reason that may quote the body.
CREATE OR REPLACE FUNCTION incidents_delivery_as_it_came() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  wipes boolean := OLD.wiped_at IS NULL AND NEW.wiped_at IS NOT NULL AND OLD.outcome <> 'stored';
BEGIN
  IF (OLD.id, OLD.source_id, OLD.body_digest, OLD.size, OLD.content_type, OLD.signature, OLD.is_test,
      OLD.was_spooled, OLD.received_at)
     IS DISTINCT FROM
     (NEW.id, NEW.source_id, NEW.body_digest, NEW.size, NEW.content_type, NEW.signature, NEW.is_test,
      NEW.was_spooled, NEW.received_at)
     OR NEW.occurrence < OLD.occurrence
     OR (NOT wipes AND OLD.sender_event_id <> '' AND NEW.sender_event_id <> OLD.sender_event_id)
     OR (NOT wipes AND (OLD.raw_body, OLD.headers, OLD.wiped_at, OLD.wiped_by)
                       IS DISTINCT FROM (NEW.raw_body, NEW.headers, NEW.wiped_at, NEW.wiped_by))
     OR (OLD.outcome <> 'stored' AND (OLD.outcome, OLD.group_id, OLD.more_groups, OLD.parsed_at)
                       IS DISTINCT FROM (NEW.outcome, NEW.group_id, NEW.more_groups, NEW.parsed_at))
     OR (OLD.outcome <> 'stored' AND NOT (wipes AND NEW.reason = '') AND NEW.reason <> OLD.reason)
     OR (OLD.outcome <> 'stored' AND NOT wipes AND NEW.sender_event_id <> OLD.sender_event_id)
  THEN
    RAISE EXCEPTION '% is kept: % is refused', TG_TABLE_NAME, lower(TG_OP) USING ERRCODE = 'HF001',
      HINT = 'Only its payload may be wiped, once it was read.';
  END IF;
  RETURN NEW;
END $$;
