"""Every message as a mail program shows it: readable by everybody, on a telephone, at a desk, by day and by night."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from messaging.gates import render_sample
from messaging.models import TemplateVersion

KEYS = [
    "apology_correction",
    "consent_update",
    "incident_notice",
    "opt_in_second_step",
    "opt_out_confirmation",
    "privacy_notice",
    "request_answered",
    "request_extended",
    "request_received",
]
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]


@pytest.mark.django_db
@pytest.mark.parametrize("key", KEYS)
def test_a_mail_is_readable_by_everybody_at_every_width_by_day_and_by_night(page, complaints, key):
    version = TemplateVersion.objects.published(key).get()
    body = version.bodies.get(locale="de")

    for sample, width, scheme in zip(
        version.samples, (375, 1280, 320, 1280), ("light", "dark", "dark", "light"), strict=False
    ):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        page.set_content(render_sample(version, sample, body).html)

        found = Axe().run(
            page,
            options={
                "runOnly": RULES,
                "rules": {"landmark-one-main": {"enabled": False}, "region": {"enabled": False}},
            },
        )

        assert [
            (rule["id"], [node["html"][:120] for node in rule["nodes"]]) for rule in found.response["violations"]
        ] == []
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), (
            width,
            "wider than the screen",
        )
        assert page.locator("h1").count() == 1
    assert complaints == []
