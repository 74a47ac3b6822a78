-- An attempt names the transaction that ended it, whoever wrote that and whatever they say: readers of what ended rely on
-- it to pass nothing over that commits late.
CREATE FUNCTION messaging_stamp_attempt() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  NEW.ended_tx := CASE
    WHEN NEW.ended_at IS NULL THEN NULL
    WHEN TG_OP = 'UPDATE' AND OLD.ended_at IS NOT NULL THEN OLD.ended_tx
    ELSE (pg_current_xact_id()::text)::bigint END;
  RETURN NEW;
END $$;
CREATE TRIGGER b_ended BEFORE INSERT OR UPDATE ON messaging_deliveryattempt FOR EACH ROW
  EXECUTE FUNCTION messaging_stamp_attempt();
