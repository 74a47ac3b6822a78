"""SQL that several apps' migrations share: tables that only grow, files of triggers, and who may do what."""

from collections.abc import Sequence
from pathlib import Path

from django.db import migrations

APP, ONCALL, AUDITOR, OWNER = "holdfast_app", "holdfast_oncall", "holdfast_auditor", "holdfast_owner"
PROJECTOR = "holdfast_projector"  # what the functions run as that write consent and its history


def sql_file(migration: str, name: str) -> migrations.RunSQL:
    """Run `sql/<name>` beside the migration whose `__file__` is given."""
    text = (Path(migration).parent / "sql" / name).read_text(encoding="utf-8")
    return migrations.RunSQL([text], reverse_sql=migrations.RunSQL.noop)


def append_only(*tables: str) -> list[migrations.RunSQL]:
    """Refuse UPDATE, DELETE and TRUNCATE of the tables, for the owner too and under session_replication_role."""
    return [
        migrations.RunSQL(
            f"""
            REVOKE UPDATE, DELETE, TRUNCATE ON {table} FROM {APP}, {ONCALL}, {AUDITOR};
            CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON {table}
                FOR EACH ROW EXECUTE FUNCTION holdfast_refuse_change();
            CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON {table}
                FOR EACH STATEMENT EXECUTE FUNCTION holdfast_refuse_change();
            ALTER TABLE {table} ENABLE ALWAYS TRIGGER refuse_change;
            ALTER TABLE {table} ENABLE ALWAYS TRIGGER refuse_truncate;
            """,
            reverse_sql=f"DROP TRIGGER refuse_change ON {table}; DROP TRIGGER refuse_truncate ON {table};",
        )
        for table in tables
    ]


def kept(*tables: str) -> list[migrations.RunSQL]:
    """Rows of these tables change, but none may ever be deleted."""
    return [
        migrations.RunSQL(
            f"""
            REVOKE DELETE, TRUNCATE ON {table} FROM {APP}, {ONCALL}, {AUDITOR};
            CREATE TRIGGER refuse_delete BEFORE DELETE ON {table}
                FOR EACH ROW EXECUTE FUNCTION holdfast_refuse_change();
            CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON {table}
                FOR EACH STATEMENT EXECUTE FUNCTION holdfast_refuse_change();
            ALTER TABLE {table} ENABLE ALWAYS TRIGGER refuse_delete;
            ALTER TABLE {table} ENABLE ALWAYS TRIGGER refuse_truncate;
            """,
            reverse_sql=f"DROP TRIGGER refuse_delete ON {table}; DROP TRIGGER refuse_truncate ON {table};",
        )
        for table in tables
    ]


def readable_by_auditor(*tables: str, without: Sequence[str] = ()) -> list[migrations.RunSQL]:
    """Open tables to the auditor, but for the columns that name people, hold what they said, or are secrets.

    A table that no migration opens stays closed.
    """
    hidden = ", ".join(f"'{column}'" for column in without)
    return [
        migrations.RunSQL(
            f"""
            DO $$ BEGIN
              EXECUTE (
                SELECT format('GRANT SELECT (%s) ON {table} TO {AUDITOR}', string_agg(quote_ident(attname), ', '))
                  FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped
                   AND attname <> ALL (ARRAY[{hidden}]::name[]));
            END $$
            """,
            reverse_sql=f"REVOKE SELECT ON {table} FROM {AUDITOR}",
        )
        for table in tables
    ]


def always() -> migrations.RunSQL:
    """Every trigger of ours holds under session_replication_role = replica too. The last operation of a migration."""
    return migrations.RunSQL(
        """
        DO $$ DECLARE t record; BEGIN
          FOR t IN SELECT tgrelid, tgname FROM pg_trigger JOIN pg_class c ON c.oid = tgrelid
                    WHERE NOT tgisinternal AND tgenabled <> 'A' AND c.relnamespace = 'public'::regnamespace LOOP
            EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', t.tgrelid::regclass, t.tgname);
          END LOOP;
        END $$
        """,
        reverse_sql=migrations.RunSQL.noop,
    )
