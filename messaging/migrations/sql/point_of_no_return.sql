-- From here on it may have been sent: under the lease, which is longer then; false where that is another's by now. Its
-- commit waits for the disk, whatever the server's setting.
CREATE FUNCTION messaging_pass_point(message uuid, lease_held uuid, attempt int, lease_after interval)
  RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM set_config('synchronous_commit', 'on', true);
  UPDATE public.messaging_message SET lease_until = clock_timestamp() + lease_after
   WHERE id = message AND lease = lease_held AND lease_until > clock_timestamp();
  IF NOT FOUND THEN RETURN false; END IF;
  UPDATE public.messaging_deliveryattempt SET phase = 'ponr'
   WHERE message_id = message AND number = attempt AND phase = 'intent';
  RETURN FOUND;
END $$;
GRANT EXECUTE ON FUNCTION messaging_pass_point(uuid, uuid, int, interval) TO holdfast_app, holdfast_oncall;
