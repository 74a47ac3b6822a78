"""Somebody with every right switches the triggers off on the running product: a minute later it is as if nobody had."""

import json
import re
import urllib.request

import psycopg
import pytest

from tests.stack.launcher import until

pytestmark = pytest.mark.stack

FLIPPED = """
    ALTER TABLE consent_consent DISABLE TRIGGER USER;
    UPDATE consent_consent SET state = 'opt_in', explicit = false
     WHERE purpose = 'marketing' AND channel = 'post' AND state = 'opt_out';
    DO $$ DECLARE t record; BEGIN
      FOR t IN SELECT tgname FROM pg_trigger WHERE tgrelid = 'consent_consent'::regclass AND NOT tgisinternal LOOP
        EXECUTE format('ALTER TABLE consent_consent ENABLE ALWAYS TRIGGER %I', t.tgname);
      END LOOP; END $$
"""
BENT = "SELECT count(*) FROM consent_consent WHERE channel = 'post' AND state = 'opt_in'"


def call(stack, path, body=None):
    headers = {"Authorization": f"Bearer {stack.key}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{stack.url}{path}", data, headers), timeout=10) as answer:
        return json.loads(answer.read())


def drift(stack):
    found = call(stack, "/api/v1/incidents/")["results"]
    return next((i for i in found if i["title"] == "Choices are not what the log says"), None)


@pytest.fixture
def superuser(stack):
    [owner] = re.findall(r"DATABASE_URL='?([^'\n]+)", stack.command("env", "--role", "owner"))
    with psycopg.connect(owner, autocommit=True) as session:
        session.execute("SET ROLE NONE")
        yield session
        if found := drift(stack):
            call(stack, f"/api/v1/incidents/{found['ref']}/contain/", {"reason": "It was a test"})
            until(lambda: guard(session) == "observe", 60, stack.said)


def guard(session):
    found = session.execute("SELECT level FROM consent_guardchange ORDER BY id DESC LIMIT 1").fetchone()
    return found and found[0]


def test_a_thousand_flipped_opt_outs_are_right_again_and_on_a_timeline_within_a_minute(stack, superuser):
    choice = {"purpose": "marketing", "channel": "post", "choice": "opt_out", "cause": "subject_choice"}
    people = [choice | {"subject": {"email": f"flipped{n}@example.org"}} for n in range(1000)]
    call(stack, "/api/v1/decisions/", {"decisions": people})

    with superuser.transaction():
        superuser.execute(FLIPPED)
        assert superuser.execute(BENT).fetchone()[0] == 1000
    until(lambda: superuser.execute(BENT).fetchone()[0] == 0, 60, stack.said)

    incident = until(lambda: drift(stack), 5, stack.said)
    story = call(stack, f"/api/v1/incidents/{incident['ref']}/timeline/")["results"]
    assert any("1,000 put right" in line["text"] for line in story)
    assert incident["severity"] == "sev1"
    until(lambda: guard(superuser) == "freeze", 30, stack.said)  # it follows the incident
    asked = call(stack, "/api/v1/check/?email=flipped7@example.org&purpose=marketing&channel=post")
    assert asked["allowed"] is False
