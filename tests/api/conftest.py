"""A caller with a key, and what every refusal must look like."""

import json

import pytest
from django.test import Client

from config.models import Scope
from tests.factories import service_key


class Api(Client):
    """Speaks JSON with a service key that has all scopes, unless told otherwise."""

    def __init__(self, *scopes: str, key: str | None = None) -> None:
        self.key = key or service_key(*(scopes or Scope.values))
        super().__init__(headers={"Authorization": f"Bearer {self.key}"}, raise_request_exception=False)

    def send(self, path: str, body, **headers):
        data = body if isinstance(body, str | bytes) else json.dumps(body)
        return self.post(path, data, content_type="application/json", headers=headers)


@pytest.fixture
def api(db):
    return Api()


@pytest.fixture
def problem():
    """Assert that a response is a problem, and give its body."""

    def read(response, status: int, code: str | None = None):
        assert response.status_code == status, response.content
        assert response["Content-Type"] == "application/problem+json"
        body = response.json()
        assert body["status"] == status
        assert body["title"]
        assert body["detail"]
        if code:
            assert body["type"] == f"urn:holdfast:problem:{code}"
        return body

    return read
