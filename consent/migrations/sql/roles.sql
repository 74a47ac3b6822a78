-- Who may do what. The app gets columns, not tables, where a default proves something.
REVOKE ALL ON consent_decision, consent_consent, consent_historicalconsent, consent_decisionvoid, consent_guardchange
  FROM holdfast_app;
GRANT SELECT ON consent_decision, consent_consent, consent_historicalconsent, consent_decisionvoid, consent_guardchange
  TO holdfast_app;
GRANT INSERT (subject_id, purpose, channel, choice, explicit, cause, confidence, reasons, exit_path, decided_at, actor,
              notice_version, locale, commitment, idempotency_key, batch_id, reversal_id, message_id, restates_id)
  ON consent_decision TO holdfast_app;
GRANT INSERT (decision_id, reason, voided_by) ON consent_decisionvoid TO holdfast_app;
GRANT INSERT (level, reason, changed_by, changed_at) ON consent_guardchange TO holdfast_app;

-- The 2 a.m. login sees choices, not addresses. It opts people out, opts in what nobody chose and a batch can undo,
-- voids such opt-ins and raises the guard. It cannot invent a person's choice: no `explicit`, no `reversal_id`.
GRANT SELECT ON consent_decision, consent_consent, consent_historicalconsent, consent_decisionvoid, consent_subject,
  consent_purpose, consent_exitpath, consent_exitpathminute, consent_batch, consent_guardchange TO holdfast_oncall;
GRANT INSERT (subject_id, purpose, channel, choice, cause, exit_path, decided_at, actor, batch_id)
  ON consent_decision TO holdfast_oncall;
GRANT INSERT ON consent_batch TO holdfast_oncall;
GRANT INSERT (decision_id, reason, voided_by) ON consent_decisionvoid TO holdfast_oncall;
GRANT INSERT (level, reason, changed_by) ON consent_guardchange TO holdfast_oncall;

-- Trigger functions are nobody's to call or to attach: on a table of somebody's own they would write what it holds.
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC, holdfast_app, holdfast_oncall, holdfast_auditor;
GRANT EXECUTE ON FUNCTION consent_reproject(bigint[]) TO holdfast_app, holdfast_oncall;
GRANT EXECUTE ON FUNCTION consent_effective(uuid, text, text) TO holdfast_app, holdfast_oncall, holdfast_auditor;

-- The projector: what the functions that write consent run as. No login, and the tables' owner is no member of it, so
-- that not even the owner writes consent. A later migration that replaces them says SET LOCAL ROLE holdfast_projector.
GRANT SELECT ON consent_decision, consent_decisionvoid, consent_consent, consent_subject, consent_purpose, consent_exitpath,
  consent_guardchange, consent_batch, consent_reversal, consent_reversalconfirmation TO holdfast_projector;
GRANT INSERT, UPDATE ON consent_consent TO holdfast_projector;
GRANT UPDATE (merged_into_id) ON consent_subject TO holdfast_projector;  -- to lock rows; it never writes one
GRANT INSERT ON consent_historicalconsent TO holdfast_projector;
GRANT USAGE ON SEQUENCE consent_historicalconsent_history_id_seq TO holdfast_projector;
GRANT EXECUTE ON FUNCTION consent_effective(uuid, text, text), consent_is_reversed(uuid, uuid, text, text, timestamptz)
  TO holdfast_projector;

GRANT CREATE ON SCHEMA public TO holdfast_projector;
SET LOCAL ROLE NONE;
ALTER FUNCTION consent_project() OWNER TO holdfast_projector;
ALTER FUNCTION consent_project_voids() OWNER TO holdfast_projector;
ALTER FUNCTION consent_reproject(bigint[]) OWNER TO holdfast_projector;
ALTER FUNCTION consent_write_history() OWNER TO holdfast_projector;
SET LOCAL ROLE holdfast_owner;
REVOKE CREATE ON SCHEMA public FROM holdfast_projector;
