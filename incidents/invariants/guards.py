"""The database's own rules, as they are now and as they were shipped: triggers, functions, owners and grants, what
columns may hold and what they hold unasked, constraints and unique indexes; and what would lead a session past them:
tables that inherit from ours, and settings of the database or of a login that come before it says a word.

`shipped.json` holds a digest of each, as the migrations make them: it lies with the code, where whoever changes the
database does not change it too. A test writes it anew after a migration (tests/incidents/test_invariant_guards.py).
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

SHIPPED = Path(__file__).parent / "shipped.json"

# One row an object: what it is called, and all that makes it what it is. Who else administers the server is not ours,
# and MAINTAIN is known to PostgreSQL from 17 on only.
OBJECTS = """
    WITH ours AS (
      SELECT oid, rolname FROM pg_roles
       WHERE rolname IN ('holdfast_app', 'holdfast_oncall', 'holdfast_auditor', 'holdfast_projector', 'holdfast_owner')
       UNION ALL SELECT 0, 'public'
    ), tables AS (
      SELECT c.oid, c.relname, c.relowner, c.relacl, c.relrowsecurity FROM pg_class c
       WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v')
         AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = c.oid AND e.deptype = 'e')
    )
    SELECT 'trigger ' || t.relname || '.' || g.tgname, concat_ws(' ', g.tgenabled, pg_get_triggerdef(g.oid))
      FROM pg_trigger g JOIN tables t ON t.oid = g.tgrelid WHERE NOT g.tgisinternal
    UNION ALL
    SELECT 'rule ' || t.relname || '.' || r.rulename, concat_ws(' ', r.ev_enabled, pg_get_ruledef(r.oid))
      FROM pg_rewrite r JOIN tables t ON t.oid = r.ev_class WHERE r.rulename <> '_RETURN'
    UNION ALL
    SELECT 'function ' || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')',
           concat_ws(' ', p.proowner::regrole, p.prosecdef, p.proconfig, p.prosrc,
             (SELECT string_agg(o.rolname || '=' || a.privilege_type, ',' ORDER BY o.rolname, a.privilege_type)
                FROM aclexplode(p.proacl) a JOIN ours o ON o.oid = a.grantee))
      FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
       AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = p.oid AND e.deptype = 'e')
    UNION ALL
    SELECT 'table ' || t.relname,
           concat_ws(' ', t.relowner::regrole, t.relrowsecurity,
             (SELECT string_agg(o.rolname || '=' || a.privilege_type, ',' ORDER BY o.rolname, a.privilege_type)
                FROM aclexplode(t.relacl) a JOIN ours o ON o.oid = a.grantee
               WHERE a.privilege_type <> 'MAINTAIN'),
             (SELECT string_agg(c.attname || ':' || o.rolname || '=' || a.privilege_type, ','
                                ORDER BY c.attname, o.rolname, a.privilege_type)
                FROM pg_attribute c CROSS JOIN aclexplode(c.attacl) a JOIN ours o ON o.oid = a.grantee
               WHERE c.attrelid = t.oid AND NOT c.attisdropped))
      FROM tables t
    UNION ALL
    SELECT 'column ' || t.relname || '.' || c.attname,
           concat_ws(' ', format_type(c.atttypid, c.atttypmod), c.attnotnull, c.attidentity, c.attgenerated)
      FROM pg_attribute c JOIN tables t ON t.oid = c.attrelid WHERE c.attnum > 0 AND NOT c.attisdropped
    UNION ALL
    SELECT 'default ' || t.relname || '.' || c.attname, pg_get_expr(d.adbin, d.adrelid)
      FROM pg_attrdef d JOIN tables t ON t.oid = d.adrelid
      JOIN pg_attribute c ON c.attrelid = d.adrelid AND c.attnum = d.adnum
    UNION ALL
    SELECT 'constraint ' || t.relname || '.' || k.conname, concat_ws(' ', k.convalidated, pg_get_constraintdef(k.oid))
      FROM pg_constraint k JOIN tables t ON t.oid = k.conrelid WHERE k.contype IN ('c', 'f', 'p', 'u', 'x')
    UNION ALL
    SELECT 'index ' || t.relname || '.' || n.relname, concat_ws(' ', i.indisvalid, pg_get_indexdef(i.indexrelid))
      FROM pg_index i JOIN tables t ON t.oid = i.indrelid JOIN pg_class n ON n.oid = i.indexrelid
     WHERE i.indisunique AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid)
    UNION ALL
    SELECT 'inheriting table ' || t.relname || '.' || i.inhrelid::regclass, i.inhseqno::text
      FROM pg_inherits i JOIN tables t ON t.oid = i.inhparent
    UNION ALL
    SELECT 'setting ' || coalesce(r.rolname, 'database') || '.' || split_part(said, '=', 1), split_part(said, '=', 2)
      FROM pg_db_role_setting s CROSS JOIN LATERAL unnest(s.setconfig) said
      LEFT JOIN ours r ON r.oid = s.setrole AND s.setrole <> 0
     WHERE (s.setrole = 0 OR r.oid IS NOT NULL)
       AND s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
       AND split_part(said, '=', 1) IN ('search_path', 'role', 'row_security', 'session_replication_role',
                                        'default_transaction_read_only', 'default_transaction_isolation')
       AND said <> 'search_path=public'
    UNION ALL
    SELECT 'role ' || r.rolname,
           concat_ws(' ', r.rolsuper, r.rolcreaterole, r.rolcreatedb, r.rolreplication, r.rolbypassrls,
             (SELECT string_agg(g.rolname, ',' ORDER BY g.rolname) FROM pg_auth_members m
                JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid))
      FROM pg_roles r JOIN ours o ON o.oid = r.oid
"""


@dataclass(frozen=True, slots=True)
class Change:
    """A rule that is not as it was shipped. `key` says which one, and what became of it."""

    name: str
    shipped: str | None
    live: str | None

    @property
    def key(self) -> str:
        return f"{self.name}:{self.live or 'gone'}"[:190]

    @property
    def words(self) -> str:
        if self.live is None:
            return f"{self.name} is gone"
        return f"{self.name} was changed" if self.shipped else f"{self.name} was added"


def changes() -> list[Change]:
    """What differs, by name. A table, column or function that somebody added beside ours is theirs; what was added to a
    table of ours is not, be it a trigger, a default or a constraint that refuses what this product takes."""
    shipped, found = shipped_digests(), live_digests()
    return [
        Change(name, shipped.get(name), found.get(name))
        for name in sorted(shipped.keys() | found.keys())
        if shipped.get(name) != found.get(name)
        and (name in shipped or name.startswith("setting ") or _is_on_ours(name, shipped))
    ]


def not_comparable() -> str:
    """Why live rules cannot be held against those shipped; empty where they can. While a new version is rolled out the
    database is older or newer than a process."""
    applied = set(MigrationRecorder(connection).applied_migrations())
    known = _known()
    if known - applied:
        return "Migrations are missing: the rules cannot be those of this version yet."
    if {one for one in applied - known if one[0] in {"config", "consent", "messaging", "incidents"}}:
        return "The database is newer than this process: restart it."
    return ""


def live_digests() -> dict[str, str]:
    with connection.cursor() as cursor:
        cursor.execute(OBJECTS)
        return {name: hashlib.sha256(text.encode()).hexdigest()[:32] for name, text in cursor.fetchall()}


@cache
def shipped_digests() -> dict[str, str]:
    found: dict[str, str] = json.loads(SHIPPED.read_text(encoding="utf-8"))
    return found


def ship() -> int:
    """Write what the database has now as what is shipped; returns how many rules."""
    found = live_digests()
    SHIPPED.write_text(json.dumps(found, indent=0, sort_keys=True) + "\n", encoding="utf-8")
    shipped_digests.cache_clear()
    return len(found)


@cache
def _known() -> set[tuple[str, str]]:
    return set(MigrationLoader(None).disk_migrations)


def _is_on_ours(name: str, shipped: dict[str, str]) -> bool:
    """Such a name is what it is, the table's, and its own: `trigger consent_decision.a_facts`."""
    kind, _, owned = name.rpartition(" ")
    table, dot, _ = owned.partition(".")
    return bool(dot) and kind != "column" and f"table {table}" in shipped
