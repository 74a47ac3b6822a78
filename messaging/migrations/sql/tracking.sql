-- A post of a provider stays as it came, and its fate is written once; once it was dealt with it can be emptied.
CREATE TRIGGER a_as_it_came BEFORE UPDATE ON messaging_hookdelivery FOR EACH ROW
  WHEN ((NEW.body IS DISTINCT FROM OLD.body AND (NEW.body IS NOT NULL OR OLD.outcome = 'stored'))
        OR (OLD.outcome <> 'stored'
            AND (OLD.outcome, OLD.reason, OLD.read_at) IS DISTINCT FROM (NEW.outcome, NEW.reason, NEW.read_at))
        OR (OLD.body_digest, OLD.headers, OLD.provider, OLD.kind, OLD.received_at)
           IS DISTINCT FROM (NEW.body_digest, NEW.headers, NEW.provider, NEW.kind, NEW.received_at))
  EXECUTE FUNCTION holdfast_refuse_change();
-- What somebody wrote to us can be erased, not changed, and what was done about it is not undone.
CREATE TRIGGER a_as_it_came BEFORE UPDATE ON messaging_inboundmessage FOR EACH ROW
  WHEN ((NEW.raw IS NOT NULL AND NEW.raw IS DISTINCT FROM OLD.raw)
        OR (OLD.raw_digest, OLD.channel, OLD.source, OLD.received_at)
           IS DISTINCT FROM (NEW.raw_digest, NEW.channel, NEW.source, NEW.received_at)
        OR (OLD.decision_id IS NOT NULL AND NEW.decision_id IS DISTINCT FROM OLD.decision_id)
        OR (OLD.handled_at IS NOT NULL AND (OLD.handled_at, OLD.handled_by, OLD.handled_reason, OLD.state)
            IS DISTINCT FROM (NEW.handled_at, NEW.handled_by, NEW.handled_reason, NEW.state)))
  EXECUTE FUNCTION holdfast_refuse_change();
