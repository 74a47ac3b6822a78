"""To whom: a selector as data, and the SELECT of keys that it stands for. Nothing in it is SQL that somebody wrote."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from jsonschema import Draft202012Validator

from consent.bulk import Selected
from consent.models import ANY, Cause, Channel, Choice

MOST_SUBJECTS = 10_000
TEXT = {"type": "string", "minLength": 1, "maxLength": 200}
CODE = {"type": "string", "pattern": r"^([a-z][a-z0-9_-]{1,49}|\*)$"}
CHANNEL = {"enum": [*(str(channel) for channel in Channel.values), ANY]}
CHOICE = {"enum": [str(choice) for choice in Choice.values]}
MOMENT = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)$"}
SCHEMA = {
    "type": "object",
    "properties": {
        "subjects": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": MOST_SUBJECTS},
        "regions": {"type": "array", "items": {"type": "string", "pattern": "^([A-Z]{2}|[0-9]{3}|unknown)$"}},
        "never_asked": {"const": True},
        "purpose": CODE,
        "channel": CHANNEL,
        "state": CHOICE,
        "explicit": {"type": "boolean"},
        "decided_after": MOMENT,
        "decided_before": MOMENT,
        "batch": {"type": "string"},
        "cause": {"enum": [str(cause) for cause in Cause.values]},
        "actor": TEXT,
    },
    "minProperties": 1,
    "additionalProperties": False,
}
OF_PEOPLE = {"subjects", "regions", "never_asked"}  # what can be asked of somebody who never decided

# BCP 47: language, perhaps a script, region. What people's programs write with an underscore counts too.
REGION = """
    coalesce(upper((regexp_match(
      replace({0}.locale, '_', '-'), '^[A-Za-z]{{2,3}}(?:-[A-Za-z]{{4}})?-([A-Za-z]{{2}}|[0-9]{{3}})(?:-|$)'))[1]),
      'unknown')
"""
LIVING = "s.merged_into_id IS NULL AND NOT s.is_canary"  # a canary is nobody, and tries a way out just now
CONDITIONS = {
    "subjects": "s.id = ANY (%s::uuid[])",
    "regions": f"{REGION.format('s')} = ANY (%s)",
    "purpose": "c.purpose = %s",
    "channel": "c.channel = %s",
    "state": "c.state = %s",
    "explicit": "c.explicit = %s",
    "decided_after": "c.decided_at >= %s",
    "decided_before": "c.decided_at < %s",
    "batch": "d.batch_id = %s",
    "cause": "c.cause = %s",
    "actor": "c.actor = %s",
}


def problems_of(selector: Mapping[str, Any]) -> list[str]:
    """Why it cannot be used. An empty one would be everybody: nobody means that."""
    if not selector:
        return ["selector: say to whom, for instance by purpose, channel and state."]
    found = [
        f"selector{error.json_path[1:]}: {error.message}"
        for error in Draft202012Validator(SCHEMA).iter_errors(selector)
    ]
    if found:
        return found
    if not all(map(_uuid, selector.get("subjects", ()))):
        found.append("selector: subjects are ids of people, UUIDs.")
    if "batch" in selector and not _uuid(selector["batch"]):
        found.append("selector: batch is the id of a batch, a UUID.")
    if selector.get("never_asked") and (odd := set(selector) - OF_PEOPLE - {"purpose", "channel"}):
        found.append(f"selector: whoever was never asked has no {', '.join(sorted(odd))}.")
    return found


def people(selector: Mapping[str, Any], purpose: str, channel: str) -> Selected:
    """Keys of people, whether they ever decided or not: only OF_PEOPLE is asked."""
    where, parameters = _conditions({name: selector[name] for name in OF_PEOPLE & set(selector)})
    if selector.get("never_asked"):
        where.append(
            "NOT EXISTS (SELECT FROM consent_consent c WHERE c.subject_id = s.id AND c.state IS NOT NULL "
            "AND c.purpose IN (%s, '*') AND c.channel IN (%s, '*'))"
        )
        parameters += [purpose, channel]
    text = " AND ".join([LIVING, "s.erased_at IS NULL", *where])
    return Selected(
        f"SELECT s.id, %s::text, %s::text FROM consent_subject s WHERE {text}", [purpose, channel, *parameters]
    )


def keys(selector: Mapping[str, Any], purpose: str = "", channel: str = "") -> Selected:
    """The selected consents' own keys, or the key named for the same people: subject_id, purpose, channel, consent."""
    where, parameters = _conditions(selector)
    text = " AND ".join([LIVING, "c.state IS NOT NULL", *where])
    join = "LEFT JOIN consent_decision d ON d.id = c.decision_id" if "batch" in selector else ""
    return Selected(
        f"""SELECT c.subject_id, coalesce(nullif(%s, ''), c.purpose), coalesce(nullif(%s, ''), c.channel), c.id
              FROM consent_consent c JOIN consent_subject s ON s.id = c.subject_id {join} WHERE {text}""",
        [purpose, channel, *parameters],
    )


def asks_people_only(selector: Mapping[str, Any]) -> bool:
    return set(selector) <= OF_PEOPLE or bool(selector.get("never_asked"))


def _conditions(selector: Mapping[str, Any]) -> tuple[list[str], list[Any]]:
    named = [name for name in CONDITIONS if name in selector]
    return [CONDITIONS[name] for name in named], [selector[name] for name in named]


def _uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
