"""From identifiers to subjects, set-based: found by blind index, made where unknown."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from config.statements import blobs, plain, prepared, texts
from consent.identifiers import Identity

FIND = """
    SELECT i.kind, i.digest, i.subject_id FROM consent_identifier i
      JOIN unnest(%s::text[], %s::bytea[]) AS wanted(kind, digest) USING (kind, digest)
"""
# Identifiers first: whoever loses the race for one makes no subject for it. The foreign key is checked at commit.
MAKE = """
    WITH won AS (
      INSERT INTO consent_identifier (kind, digest, sealed, subject_id, created_at)
      SELECT kind, digest, sealed, subject_id, now()
        FROM unnest(%s::text[], %s::bytea[], %s::bytea[], %s::uuid[]) AS new(kind, digest, sealed, subject_id)
       ORDER BY kind, digest
      ON CONFLICT (kind, digest) DO NOTHING RETURNING kind, digest, subject_id
    ), made AS (
      INSERT INTO consent_subject (id, locale, created_at)
      SELECT DISTINCT subject_id, '', now() FROM won WHERE subject_id = ANY (%s::uuid[])
    )
    SELECT kind, digest, subject_id FROM won
"""
ROOTS = "SELECT id, coalesce(merged_into_id, id) FROM consent_subject WHERE id = ANY (%s::uuid[])"

Key = tuple[str, bytes]


@dataclass
class People:
    """Groups of identifiers, each one person, and the subjects they turned out to be."""

    groups: list[set[Identity]]
    subjects: dict[Key, UUID] = field(default_factory=dict)

    def of(self, identity: Identity) -> UUID:
        return self.subjects[identity.kind, identity.digest]

    def to_merge(self) -> list[set[UUID]]:
        """Subjects that one call named together: they are one person."""
        found = [{self.subjects[i.kind, i.digest] for i in group} for group in self.groups]
        return [ids for ids in found if len(ids) > 1]


def find(identities: Iterable[Identity]) -> dict[Key, UUID]:
    """The subjects of those identifiers that are known: one statement."""
    return owners({(i.kind, i.digest) for i in identities})


def owners(keys: Collection[Key]) -> dict[Key, UUID]:
    """The same by kind and blind index, where that is all there is."""
    keys = sorted(keys)
    if not keys:
        return {}
    with prepared() as cursor:
        cursor.execute(FIND, [texts(kind for kind, _ in keys), blobs(digest for _, digest in keys)])
        return {(kind, bytes(digest)): subject_id for kind, digest, subject_id in cursor.fetchall()}


def find_or_make(people: Sequence[Sequence[Identity]]) -> People:
    """Every identifier gets a subject; each inner sequence is one person.

    One statement where all are known, two where not, three in a race.
    """
    known = People(_joined(people))
    known.subjects = find(identity for group in known.groups for identity in group)
    missing: list[tuple[Identity, UUID]] = []
    new: set[UUID] = set()
    for group in known.groups:
        subject_id = next((known.subjects[k] for i in group if (k := (i.kind, i.digest)) in known.subjects), None)
        if subject_id is None:
            new.add(subject_id := uuid4())
        missing += [(i, subject_id) for i in group if (i.kind, i.digest) not in known.subjects]
    if missing:
        known.subjects |= _make(missing, new)
        known.subjects |= find(i for i, _ in missing if (i.kind, i.digest) not in known.subjects)
    return known


def _make(missing: Sequence[tuple[Identity, UUID]], new: set[UUID]) -> dict[Key, UUID]:
    """Those that were still free; for the others somebody else was quicker."""
    with prepared() as cursor:
        cursor.execute(
            MAKE,
            [
                texts(i.kind for i, _ in missing),
                blobs(i.digest for i, _ in missing),
                blobs(i.seal() for i, _ in missing),
                plain(subject_id for _, subject_id in missing),
                plain(new),
            ],
        )
        return {(kind, bytes(digest)): subject_id for kind, digest, subject_id in cursor.fetchall()}


def roots(subject_ids: Iterable[UUID]) -> dict[UUID, UUID]:
    """Each known subject with the one that speaks for it after merges."""
    with prepared() as cursor:
        cursor.execute(ROOTS, [plain(subject_ids)])
        return dict(cursor.fetchall())


def _joined(people: Sequence[Sequence[Identity]]) -> list[set[Identity]]:
    """Groups that share an identifier are one group."""
    group_of: dict[Identity, set[Identity]] = {}
    for identities in people:
        group = set(identities)
        for identity in identities:
            group |= group_of.get(identity, set())
        for identity in group:
            group_of[identity] = group
    return list({id(group): group for group in group_of.values()}.values())
