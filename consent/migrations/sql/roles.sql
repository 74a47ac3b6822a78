-- Who may do what. The app gets columns, not tables, where a default proves something.
REVOKE ALL ON consent_decision, consent_consent, consent_historicalconsent, consent_decisionvoid FROM holdfast_app;
GRANT SELECT ON consent_decision, consent_consent, consent_historicalconsent, consent_decisionvoid TO holdfast_app;
GRANT INSERT (subject_id, purpose, channel, choice, explicit, cause, confidence, reasons, exit_path, decided_at, actor,
              notice_version, locale, commitment, idempotency_key, batch_id, reversal_id, message_id, restates_id)
  ON consent_decision TO holdfast_app;
GRANT INSERT (decision_id, reason, voided_by) ON consent_decisionvoid TO holdfast_app;

-- The 2 a.m. login writes what nobody chose, in the open, and cannot invent a person's choice: no `explicit` column.
GRANT SELECT ON consent_decision, consent_consent, consent_historicalconsent, consent_decisionvoid, consent_subject,
  consent_purpose, consent_exitpath, consent_exitpathminute, consent_batch, consent_guardchange TO holdfast_oncall;
GRANT INSERT (subject_id, purpose, channel, choice, cause, exit_path, decided_at, actor, batch_id)
  ON consent_decision TO holdfast_oncall;
GRANT INSERT ON consent_batch TO holdfast_oncall;
GRANT INSERT (decision_id, reason, voided_by) ON consent_decisionvoid TO holdfast_oncall;
GRANT INSERT (level, reason, changed_by) ON consent_guardchange TO holdfast_oncall;

-- An auditor reads what proves, not what identifies.
REVOKE ALL ON consent_identifier, consent_evidence FROM holdfast_auditor;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC;
GRANT EXECUTE ON FUNCTION consent_reproject(bigint[]) TO holdfast_app, holdfast_oncall;
GRANT EXECUTE ON FUNCTION consent_effective(uuid, text, text) TO holdfast_app, holdfast_oncall, holdfast_auditor;
