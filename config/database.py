"""SQL that several apps' migrations share: tables that only grow, files of triggers, and who may do what."""

from pathlib import Path

from django.db import migrations

APP, ONCALL, AUDITOR, OWNER = "holdfast_app", "holdfast_oncall", "holdfast_auditor", "holdfast_owner"


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
