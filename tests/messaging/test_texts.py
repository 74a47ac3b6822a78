"""The texts that the product ships with, and what no text may become."""

import pytest

from messaging.models import TemplateVersion
from messaging.publishing import problems_of

pytestmark = pytest.mark.django_db

KEYS = ["opt_in_second_step", "opt_out_confirmation", "request_answered", "request_received"]


@pytest.mark.parametrize("key", KEYS)
def test_every_shipped_text_passes_the_gates_in_every_language(key):
    version = TemplateVersion.objects.published(key).get()

    assert problems_of(version) == []
    assert {body.locale for body in version.bodies.all()} == {"en", "de", "es", "fr"}
