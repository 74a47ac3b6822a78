"""The interface does what its description says, whatever it is sent."""

from io import StringIO

import pytest
import schemathesis
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.generation.modes import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from config.docs import SCHEMA
from config.models import Scope
from consent.services import record
from tests.factories import PurposeFactory, opt_out, service_key

CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance, status_code_conformance]
EXAMPLES = 15


def _operations():
    schema = schemathesis.openapi.from_wsgi("/api/v1/schema/", get_wsgi_application())
    return [found.ok() for found in schema.get_all_operations()]


def test_the_committed_schema_is_what_the_views_say():
    written = StringIO()
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=written)

    assert SCHEMA.read_text() == written.getvalue(), "Run 'make schema' and look at what changed for callers."


@pytest.fixture(scope="module")
def key(django_db_setup, django_db_blocker, cluster):
    """One database for the whole module: what one call left behind is there for the next."""
    with django_db_blocker.unblock():
        PurposeFactory(code="marketing")
        record([opt_out("anna@example.org")])
        yield service_key(*Scope.values)
        cluster.close_and_renew()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["fits", "does not fit"])
@pytest.mark.parametrize("operation", _operations(), ids=lambda operation: operation.label)
def test_whatever_is_sent_the_answer_is_as_described_and_never_a_500(key, operation, mode):
    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(case=operation.as_strategy(mode))
    def send(case):
        case.call_and_validate(headers={"Authorization": f"Bearer {key}"}, checks=CHECKS)

    send()


def test_the_page_that_explains_it_runs_under_our_policy(client):
    page = client.get("/api/v1/docs/")
    script = client.get("/api/v1/docs/?script=")

    assert page.status_code == script.status_code == 200
    assert "script-src 'self'" in page["Content-Security-Policy"]
    assert "<script>" not in page.content.decode()
    assert "https://" not in page.content.decode().replace("https://www.w3.org", "")
    assert client.get("/api/v1/schema/")["Content-Type"] == "application/yaml"
