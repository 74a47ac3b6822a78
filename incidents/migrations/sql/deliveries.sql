-- What was delivered stays as it came, and its fate is written once.
CREATE TRIGGER a_as_it_came BEFORE UPDATE ON incidents_alertdelivery FOR EACH ROW
  WHEN (OLD.outcome <> 'stored'
        OR (OLD.raw_body, OLD.body_digest, OLD.content_type, OLD.source_id, OLD.received_at)
           IS DISTINCT FROM (NEW.raw_body, NEW.body_digest, NEW.content_type, NEW.source_id, NEW.received_at))
  EXECUTE FUNCTION holdfast_refuse_change();
ALTER TABLE incidents_alertdelivery ENABLE ALWAYS TRIGGER a_as_it_came;
