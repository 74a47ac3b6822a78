"""The languages that people are spoken to in, and which one a request gets."""

from django.conf import settings
from django.http import HttpRequest
from django.utils import translation

from consent.models import Purpose
from consent.public.languages import de, en, es, fr
from consent.public.texts import Texts

TEXTS: dict[str, Texts] = {"en": en.TEXTS, "de": de.TEXTS, "es": es.TEXTS, "fr": fr.TEXTS}


def choose(request: HttpRequest, locale: str = "") -> str:
    """What was asked for on the page, else what the person once told (`locale`), else what their browser prefers."""
    for wish in (request.GET.get("lang", ""), locale.lower().partition("-")[0].partition("_")[0]):
        if wish in TEXTS:
            return wish
    preferred = translation.get_language_from_request(request).partition("-")[0]
    return preferred if preferred in TEXTS else settings.LANGUAGE_CODE


def words_for(purpose: Purpose, language: str) -> tuple[str, str]:
    """Name and description: translated as long as they are the shipped ones, otherwise as the officer wrote them."""
    own = purpose.name, purpose.description
    if own == en.TEXTS.purposes.get(purpose.code):
        return TEXTS[language].purposes[purpose.code]
    return own
