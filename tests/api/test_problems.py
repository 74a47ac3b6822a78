"""Programs get problems (RFC 9457) whatever goes wrong; people get pages."""

import pytest

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("path", ["/api/", "/api/v1/nothing/", "/hooks/nothing/", "/api/v1/decisions"])
def test_an_unknown_address_of_the_api_is_a_problem(client, problem, path):
    problem(client.get(path), 404, "not_found")


def test_an_unknown_address_elsewhere_is_a_page(client):
    response = client.get("/nothing/")

    assert response.status_code == 404
    assert response["Content-Type"].startswith("text/html")


def test_a_foreign_host_is_refused_as_a_problem(client, problem):
    problem(client.get("/api/v1/decisions/", headers={"Host": "evil.example"}), 400, "bad_request")
