"""What a superuser can do who switches the triggers off: the one whom nothing can refuse."""

TABLES = (
    "consent_consent", "consent_decision", "consent_historicalconsent", "incidents_timelineentry",
    "incidents_changeset", "incidents_changeapproval",
)  # fmt: skip
ALWAYS = f"""
    DO $$ DECLARE t record; BEGIN
      FOR t IN SELECT tgrelid::regclass AS of, tgname FROM pg_trigger
                WHERE tgrelid = ANY ('{{{", ".join(TABLES)}}}'::regclass[]) AND NOT tgisinternal LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', t.of, t.tgname);
      END LOOP; END $$
"""
# What a forger does who has read how the hash of a version is made.
HASHED = """
    UPDATE consent_historicalconsent h SET history_date = changed_at, history_user_id = actor,
      history_change_reason = cause,
      leaf_hash = sha256('\\x00'::bytea || record_send(ROW(1::int2, history_id, id, subject_id, purpose::text,
        channel::text, state::text, explicit, cause::text, actor::text, decided_at, decision_id, version,
        previous::text, changed_at, tx, db_user::text)))
"""


def by_hand(cluster, *statements):
    """Afterwards every trigger is as it was shipped: nothing but the rows tells of it."""
    with cluster.connect("superuser", autocommit=False) as connection:
        for table in TABLES:
            connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER".encode())
        for statement in statements:
            connection.execute(statement)
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        connection.execute(ALWAYS)
        connection.commit()
