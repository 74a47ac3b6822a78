-- As in outcomes.sql, and an attempt that was given back untried is counted as that: it is none of the transport's tries.
DROP FUNCTION messaging_end_attempt(uuid, uuid, int, text, text, int, text, interval, text, text, text);
CREATE FUNCTION messaging_end_attempt(
  message uuid, lease_held uuid, attempt int, outcome_is text, error text, code int, sent_on_to text, pause interval,
  status text, said text, queued_as text, was_tried boolean)
  RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  UPDATE public.messaging_message
     SET state = outcome_is, lease = NULL, lease_until = NULL,
         given_back = given_back + CASE WHEN was_tried THEN 0 ELSE 1 END,
         last_error = CASE WHEN outcome_is = 'accepted' THEN last_error ELSE error END,
         settled_at = CASE WHEN outcome_is IN ('accepted', 'rejected', 'failed', 'filed') THEN clock_timestamp() END,
         transport = CASE WHEN is_pinned THEN transport ELSE coalesce(sent_on_to, transport) END,
         not_before = CASE WHEN outcome_is = 'retry_wait' THEN clock_timestamp() + pause ELSE not_before END
   WHERE id = message AND lease = lease_held;
  IF NOT FOUND THEN RETURN false; END IF;
  UPDATE public.messaging_deliveryattempt
     SET outcome = outcome_is, reply_code = code, enhanced_status = status, reply_text = said, queue_id = queued_as,
         ended_at = clock_timestamp(), phase = CASE WHEN code IS NULL THEN phase ELSE 'replied' END
   WHERE message_id = message AND number = attempt AND ended_at IS NULL;
  RETURN FOUND;
END $$;
GRANT EXECUTE ON FUNCTION
  messaging_end_attempt(uuid, uuid, int, text, text, int, text, interval, text, text, text, boolean)
  TO holdfast_app, holdfast_oncall;
