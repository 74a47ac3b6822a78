"""What stands between a text and its people: who writes, why, where to one's choices; no marketing; nothing loaded."""

import builtins
import socket

import pytest
from django.core.exceptions import ValidationError

from messaging.gates import problems_of
from messaging.inlining import inline
from messaging.marketing import leads_back_in, sales_link, sales_talk
from messaging.models import Template, TemplateBody, TemplateFault, TemplateVersion
from messaging.publishing import approve, check, draft_from, publish, retire
from messaging.rendering import RenderError, published, render

CONTEXT = {"purpose": "News", "channel": "email", "decided_at": "2026-03-01T08:05:00+00:00", "reference": "1"}


def draft_of(key):
    return draft_from(TemplateVersion.objects.published(key).get(), by="user:anna")


def add(version, part, more, locale="en"):
    body = version.bodies.get(locale=locale)
    setattr(body, part, getattr(body, part).replace("</h1>", f"</h1>{more}") if part == "html" else body.text + more)
    body.save()
    return version


def replace(version, old, new, locale="en"):
    body = version.bodies.get(locale=locale)
    body.text, body.html = body.text.replace(old, new), body.html.replace(old, new)
    body.save()
    return version


def go_out(version):
    check(version, by="user:anna")
    approve(version, reason="Read it", by="user:bela")
    return publish(version, reason="Now", by="user:bela")


# Marketing


@pytest.mark.parametrize(
    "text",
    [
        "Shop now and save 20% off.",
        "Use the discount code SPRING.",
        "Changed your mind? Subscribe again.",
        "We miss you! Come back.",
        "Jetzt bestellen: 15 % Rabatt",
        "Hier abonnieren",
        "Wir vermissen Sie",
        "Compre ahora, oferta especial",
        "Suscríbase aquí",
        "Achetez maintenant, offre spéciale",
        "Abonnez-vous à la lettre",
        "Vous nous manquez",
    ],
)
def test_sales_talk_is_recognised_in_four_languages(text):
    assert list(sales_talk(text))


@pytest.mark.parametrize(
    "text",
    [
        "You unsubscribed from offers and discounts. It is not advertising.",
        "Your order of 3 March was concerned; we will not ask you to subscribe.",
        "Sie haben sich von Angeboten und Werbung abgemeldet. Melden Sie sich bei Fragen.",
        "Wir haben Ihre Bestellung nicht verloren; 20 % der Datensätze waren betroffen.",
        "Se ha dado de baja de las ofertas y promociones.",
        "Vous vous êtes désabonné des offres et promotions.",
        "Change your password now. Order numbers were not concerned.",
        "We will come back to you by Friday.",
    ],
)
def test_plain_sentences_about_choices_and_incidents_are_no_sales_talk(text):
    assert list(sales_talk(text)) == []


@pytest.mark.parametrize(
    ("url", "is_one"),
    [
        ("https://example.org/p/?utm_source=mail", True),
        ("https://example.org/p/?gclid=1", True),
        ("https://example.org/shop/shoes", True),
        ("https://example.org/angebote/", True),
        ("https://example.org/preferences/abc/", False),
        ("https://example.org/workshops/?page=2", False),
    ],
)
def test_a_link_that_counts_or_sells_is_recognised(url, is_one):
    assert bool(list(sales_link(url))) == is_one


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("/opt-in/", True),
        ("/resubscribe/", True),
        ("/u/unsubscribe/", False),
        ("opt_in_url", True),
        ("/preferences/abc/?confirm=4f2a", True),
        ("/opt-inform/", False),
    ],
)
def test_a_way_back_in_is_told_from_a_way_out(text, is_one):
    assert leads_back_in(text) == is_one


@pytest.mark.django_db
@pytest.mark.parametrize("key", ["opt_out_confirmation", "privacy_notice", "incident_notice", "request_received"])
@pytest.mark.parametrize(
    ("part", "more", "says"),
    [
        ("html", "<p>Jetzt kaufen!</p>", "carries no marketing"),
        ("html", "<p>Jetzt kau<span>fen!</span></p>", "carries no marketing"),
        ("html", "<p>Jetzt&nbsp;k&#97;uf&shy;en!</p>", "carries no marketing"),
        ("text", "\nJetzt kau\u200bfen", "carries no marketing"),
        ("text", "\n\uff2aetzt \uff4baufen", "carries no marketing"),
        ("text", "\n20% off everything", "carries no marketing"),
        ("html", '<a href="{{ public_url }}/p/?utm_campaign=x">x</a>', "counts who follows"),
        ("text", "\n{{ public_url }}/opt-in/", "no way back in"),
        ("text", "\n{{ preferences_url }}?confirm=4f2a", "no way back in"),
    ],
)
def test_confirmations_and_notices_carry_no_marketing_and_no_way_back_in(key, part, more, says):
    with pytest.raises(ValidationError, match=says):
        check(add(draft_of(key), part, more), by="user:anna")


@pytest.mark.django_db
def test_other_mail_may_invite_and_the_second_step_leads_back_in():
    draft = add(draft_of("consent_update"), "text", "\nFollow us")
    assert problems_of(draft) != []  # it tells of the person's own choice, opted out or not
    draft.template.message_class = "operational"
    assert problems_of(draft) == []
    assert problems_of(draft_of("opt_in_second_step")) == []


# What every text says


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("old", "says"),
    [
        ("{{ organisation }}", "does not say who writes"),
        ("{% reason %}", "does not say why it is sent"),
        ("{{ preferences_url }}", "shows no way to one's choices"),
    ],
)
def test_a_text_says_who_writes_why_and_where_to_ones_choices_in_each_of_its_parts(old, says):
    draft = draft_of("opt_out_confirmation")
    replace(draft, old, "", "de")
    replace(draft, "{% endreason %}" if "reason" in old else old, "", "de")

    problems = [problem for problem in problems_of(draft) if says in problem]

    assert [problem.partition(" in de")[0] for problem in problems] == ["The plain text", "The HTML"]


@pytest.mark.django_db
def test_an_answer_need_not_show_a_way_to_end_it():
    assert problems_of(replace(draft_of("request_answered"), "{{ preferences_url }}", "{{ public_url }}")) == []


@pytest.mark.django_db
def test_an_empty_reason_is_none():
    draft = draft_of("request_answered")
    body = draft.bodies.get(locale="en")
    body.text = "{% reason %} {% endreason %}{{ organisation }} {{ answer }} {{ ref }}"
    body.save()

    assert "does not say why it is sent" in problems_of(draft)[0]


@pytest.mark.django_db
def test_links_lead_to_hosts_that_are_allowed(settings):
    draft = add(draft_of("request_received"), "text", "\nhttps://help.example.org/ www.evil.example")
    settings.MAIL_LINK_HOSTS = ["help.example.org"]

    [problem] = problems_of(draft)

    assert problem.startswith("www.evil.example: links lead to")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ([], 'with "type": "object"'),
        ({"type": "object", "properties": {"a": {"type": "strin"}}}, "no valid JSON Schema"),
    ],
)
def test_a_schema_is_one_itself(schema, says):
    draft = draft_of("request_answered")
    draft.context_schema = schema

    assert says in problems_of(draft)[0]


# Styles


@pytest.fixture
def no_network_and_no_disk(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("nothing is loaded")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(builtins, "open", refuse)


def test_styles_become_attributes_and_tags_of_the_template_stay_where_they_are():
    html = (
        "<html><head><title>{% if a < 3 %}{{ a }}{% endif %}</title><style>td { color: red } .b { margin: 0 }"
        "@media (prefers-color-scheme: dark) { td { color: blue !important } }</style></head><body>"
        '<table><tbody>{% for r in rows %}<tr>{% if r %}<td>{{ r|date:"j F" }}</td>{% endif %}</tr>{% endfor %}</tbody>'
        "</table>"
        '<a class="b" href="{{ u }}{% if a < 3 and u %}?x{% endif %}">x</a></body></html>'
    )

    inlined = inline(html)

    assert '{% for r in rows %}<tr>{% if r %}<td style="color: red;">{{ r|date:"j F" }}</td>{% endif %}</tr>' in inlined
    assert 'href="{{ u }}{% if a < 3 and u %}?x{% endif %}"' in inlined
    assert "<title>{% if a < 3 %}{{ a }}{% endif %}</title>" in inlined
    assert "prefers-color-scheme: dark" in inlined
    assert ".b {" not in inlined


@pytest.mark.parametrize("scheme", ["file://{path}", "http://127.0.0.1:{port}/s.css", "{path}"])
def test_a_stylesheet_elsewhere_is_neither_loaded_nor_kept(tmp_path, scheme):
    sheet = tmp_path / "s.css"
    sheet.write_text("p { color: rgb(1, 2, 3) }")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        href = scheme.format(path=sheet, port=server.getsockname()[1])
        inlined = inline(
            f'<html><head><link rel="stylesheet" href="{href}"><style>b {{}}</style></head><p>x</p></html>'
        )
        with pytest.raises(TimeoutError):
            server.accept()

    assert "<link" not in inlined
    assert "rgb" not in inlined


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("html", "says"),
    [
        ('<link rel="stylesheet" href="file:///etc/passwd">', "<link> has no place"),
        ("<style>@import 'http://evil.example/';</style>", "tells who reads"),
        ("<style>p { background: url(http://evil.example/p.gif) }</style>", "tells who reads"),
        (r"<style>p { background: u\72l(http://evil.example/p.gif) }</style>", "tells who reads"),
        (r"""<p style="background: u\72 l('http://evil.example/p.gif')">x</p>""", "tells who reads"),
        ("<style>p { color: {{ purpose }} }</style>", "holds no tags of the template"),
    ],
)
def test_a_style_that_loads_something_is_refused(html, says):
    assert any(says in problem for problem in problems_of(add(draft_of("opt_out_confirmation"), "html", html)))


@pytest.mark.parametrize(
    ("html", "says"),
    [
        ("<style>p {}</style><table>{% for r in rows %}<tr><td>x</td></tr>{% endfor %}</table>", "Write <tbody>"),
        ("<style>p {}</style><p {% if a %}{{ a }}", "not well formed"),
    ],
)
def test_html_that_a_parser_would_rearrange_is_refused(html, says):
    with pytest.raises(RenderError, match=says):
        inline(html)


@pytest.mark.django_db
def test_rendering_reads_neither_network_nor_disk(no_network_and_no_disk, settings):
    versions = published("opt_out_confirmation")

    text, *_ = render(versions, "opt_out_confirmation", CONTEXT, locale="de", preferences_url="http://x.example/")

    assert "style=" in text.html


# When one fails all the same


def broken_html(key):
    """A published version whose HTML cannot be rendered with a name that is empty."""
    draft = replace(draft_of(key), "<h1>", "<h1>{% if reference == '' %}{{ reference|by_channel }}{% endif %}")
    return go_out(draft)


def render_with_empty_reference(key, context):
    return render(published(key), key, context | {"reference": ""}, locale="en", preferences_url="http://x.example/")


@pytest.mark.django_db
def test_where_only_the_html_of_the_newest_fails_the_last_good_version_is_whole():
    broken_html("opt_out_confirmation")

    text, version, is_degraded = render_with_empty_reference("opt_out_confirmation", CONTEXT)

    assert (version.number, is_degraded, bool(text.html)) == (1, True, True)


@pytest.mark.django_db
def test_where_every_html_fails_a_confirmation_goes_as_plain_text_and_leaves_a_fault():
    retired_after(broken_html("opt_out_confirmation"))

    text, version, is_degraded = render_with_empty_reference("opt_out_confirmation", CONTEXT)

    assert (version.number, is_degraded, text.html) == (2, True, "")
    assert "You opted out" in text.text
    assert TemplateFault.objects.open().count() == 1


@pytest.mark.django_db
def test_where_every_html_fails_an_update_is_not_sent_as_plain_text():
    retired_after(broken_html("consent_update"))

    with pytest.raises(RenderError):
        render_with_empty_reference("consent_update", CONTEXT | {"choice": "opt_in", "by_staff": False})


def retired_after(version):
    first = TemplateVersion.objects.get(template=version.template_id, number=1)
    retire(first, reason="Old", by="user:bela")


@pytest.mark.django_db
def test_a_fault_is_mended_by_a_newer_version_and_opens_again_when_it_happens_again():
    version = broken_html("opt_out_confirmation")
    render_with_empty_reference("opt_out_confirmation", CONTEXT)
    assert TemplateFault.objects.unseen().get().version == version
    newer = go_out(replace(draft_of_version(version), "{{ reference|by_channel }}", ""))
    fault = TemplateFault.objects.get()
    assert (fault.mended_by, fault.mended_reason) == ("user:bela", "v3 was published.")
    retire(newer, reason="Try the old one", by="user:bela")

    render_with_empty_reference("opt_out_confirmation", CONTEXT)

    fault.refresh_from_db()
    assert (fault.mended_at, fault.count) == (None, 2)


def draft_of_version(version):
    return draft_from(version, by="user:anna")


@pytest.mark.django_db
def test_a_missing_optional_name_is_its_default():
    context = {"what_went_wrong": "x", "what_we_did": "y", "your_choice": "z"}

    text, *_ = render(
        published("apology_correction"), "apology_correction", context, locale="en", preferences_url="http://x/"
    )

    assert "WHOM YOU CAN ASK" not in text.text


@pytest.mark.django_db
def test_each_template_has_its_class():
    assert dict(Template.objects.values_list("key", "message_class")) == {
        "opt_out_confirmation": "confirmation",
        "consent_update": "consent_update",
        "opt_in_second_step": "privacy_notice",
        "request_received": "privacy_notice",
        "request_extended": "privacy_notice",
        "request_answered": "privacy_notice",
        "privacy_notice": "privacy_notice",
        "incident_notice": "incident_notice",
        "apology_correction": "incident_notice",
        "opt_out_confirmation_sms": "confirmation",
        "help_sms": "privacy_notice",
    }
    assert TemplateBody.objects.exclude(inlined__contains="style=").exclude(html="").count() == 0


def test_a_text_message_is_short_names_who_writes_and_has_no_html(db):
    version = draft_from(TemplateVersion.objects.published("opt_out_confirmation_sms").get(), by="user:anna")
    version.bodies.filter(locale="en").update(text="You are opted out. " * 10, html="<p>You are opted out.</p>")

    said = " ".join(problems_of(version))

    assert "A text message has no HTML" in said
    assert "does not say who writes" in said
    assert "The text in en takes 189 characters, and one message has room for 160" in said


def test_one_letter_that_phones_do_not_share_leaves_room_for_seventy(db):
    version = draft_from(TemplateVersion.objects.published("opt_out_confirmation_sms").get(), by="user:anna")
    version.bodies.filter(locale="es").update(text="{{ organisation }}: " + "ya no recibe SMS, ni hoy ni mañana. " * 2)
    assert problems_of(version) == []

    version.bodies.filter(locale="es").update(text="{{ organisation }}: " + "no recibirá SMS, ni hoy ni mañana. " * 2)

    assert "one message with “á” in it has room for 70: it would go out in pieces" in problems_of(version)[0]
