"""People leave all at once, on the running product: within a minute an incident says so, and where to look first."""

import json
import urllib.request
from datetime import timedelta
from random import Random

import pytest
from django.utils import timezone

from tests.stack.launcher import until

pytestmark = pytest.mark.stack

# Four weeks in which two left every five minutes, as the log's reader would have counted them.
PAST = """
from datetime import timedelta
from django.utils import timezone
from incidents.detection import counts
from incidents.detection.baseline import BUCKET, bucket_of
from incidents.models import DecisionMinute, Series
end = bucket_of(timezone.now())
start = end - timedelta(weeks=4)
what = {"choice": "opt_out", "purpose": "marketing", "channel": "email", "cause": "subject_choice"}
minutes = [DecisionMinute(minute=at, exit_path="one-click", count=2, **what) for at in counts.buckets(start, end)]
DecisionMinute.objects.bulk_create(minutes, batch_size=2000)
Series.objects.create(purpose="marketing", channel="email", group="choice", first_at=start, judged_to=end - BUCKET)
"""


def call(stack, path, body=None):
    headers = {"Authorization": f"Bearer {stack.key}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{stack.url}{path}", data, headers), timeout=10) as answer:
        return json.loads(answer.read())


def leave(stack, count):
    """By one way out, from as many mail domains, at moments of their own within half a minute."""
    ago = [timedelta(seconds=Random(7 + n).uniform(0, 30)) for n in range(count)]
    moments = [(timezone.now() - span).isoformat() for span in ago]
    people = [{"subject": {"email": f"leaver@domain{n}.example"}, "decided_at": at} for n, at in enumerate(moments)]
    choice = {"purpose": "marketing", "channel": "email", "choice": "opt_out", "cause": "subject_choice"}
    call(stack, "/api/v1/decisions/", {"decisions": [p | choice | {"exit_path": "preference-page"} for p in people]})


def surge(stack):
    found = call(stack, "/api/v1/incidents/")["results"]
    return next((i for i in found if i["title"] == "More opt-outs of marketing by email than usual"), None)


def test_a_surge_is_on_a_timeline_within_a_minute_with_its_cause_ranked_first(stack):
    stack.command("shell", "-c", PAST, **stack.environment)

    leave(stack, 60)

    incident = until(lambda: surge(stack), 60, stack.said)
    story = call(stack, f"/api/v1/incidents/{incident['ref']}/timeline/")["results"]
    [line] = [line["text"] for line in story if "D1: sudden jump" in line["text"]]
    assert incident["status"] == "triage"
    assert "60 in five minutes where 2.00 were to be expected" in line
    assert "Look first at: exit path preference-page (" in line
