-- What became of one message, and the point of no return of the next, in one transaction: the worker that sends one after
-- the other waits once for the disk, not twice for the database. Each of the two is under its own lease.
CREATE FUNCTION messaging_pass_on(
  message_before uuid, lease_before uuid, attempt_before int, outcome_is text, error text, code int, sent_on_to text,
  pause interval, status text, said text, queued_as text, was_tried boolean,
  message uuid, lease_held uuid, attempt int, lease_after interval, OUT ended boolean, OUT passed boolean)
  LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  ended := public.messaging_end_attempt(
    message_before, lease_before, attempt_before, outcome_is, error, code, sent_on_to, pause, status, said, queued_as,
    was_tried);
  passed := public.messaging_pass_point(message, lease_held, attempt, lease_after);  -- last: its commit is waited for
END $$;
GRANT EXECUTE ON FUNCTION messaging_pass_on(uuid, uuid, int, text, text, int, text, interval, text, text, text, boolean,
  uuid, uuid, int, interval) TO holdfast_app, holdfast_oncall;
