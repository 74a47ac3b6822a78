"""A style element becomes attributes, which is what mail programs read: once, when a version is checked.

Nothing is loaded for it, from the network or from this machine's disk. Tags of the template are put aside meanwhile: an
HTML parser would move a loop out of its table and write `&lt;` into a condition.
"""

import re
from functools import lru_cache

from css_inline import CSSInliner, InlineError

from messaging.rendering import RenderError

# At-rules stay in a style element of their own: the dark colours and the narrow screens of those who understand them.
INLINER = CSSInliner(load_remote_stylesheets=False, keep_link_tags=False, keep_style_tags=False, keep_at_rules=True)
PART = re.compile(
    r"(?P<tag>\{%.*?%\}|\{\{.*?\}\})|(?P<title></?title>)|(?P<open><(?=[a-z/!]))|(?P<close>>)", re.S | re.I
)
STYLE = re.compile(r"<style[^>]*>(.*?)</style>", re.S | re.I)
PLACE = re.compile(r"<!--hf(\d+)x-->|hf(\d+)x")


@lru_cache(maxsize=64)
def inline(html: str) -> str:
    """The HTML with its style element written into the tags; what has none comes back as it is. Raises RenderError."""
    styles = STYLE.findall(html)
    if not styles:
        return html
    if any("{{" in style or "{%" in style for style in styles):
        raise RenderError("A style element holds no tags of the template.")
    put_aside: list[str] = []
    try:
        inlined = INLINER.inline(_without_tags(html, put_aside))
    except InlineError as error:
        raise RenderError(f"The styles cannot be written into the HTML: {error}") from error
    if inlined.lower().count("<tbody") != html.lower().count("<tbody"):
        raise RenderError("Write <tbody> in each table: an HTML parser adds it, and tears a loop over its rows apart.")
    found = [int(first or second) for first, second in PLACE.findall(inlined)]
    if found != list(range(len(put_aside))):
        raise RenderError("The HTML is not well formed: an HTML parser moves or drops a tag of the template in it.")
    return PLACE.sub(lambda place: put_aside[int(place[1] or place[2])], inlined)


def _without_tags(html: str, put_aside: list[str]) -> str:
    """Each template tag as a number: a comment between elements, plain letters in an attribute or the title."""
    inside = 0  # an element's own tag, or the title

    def placed(found: re.Match[str]) -> str:
        nonlocal inside
        if found["tag"]:
            put_aside.append(found["tag"])
            name = f"hf{len(put_aside) - 1}x"
            return name if inside or found["tag"].startswith("{{") else f"<!--{name}-->"
        if found["title"]:
            inside = 0 if found["title"].startswith("</") else 2
        elif inside < 2:
            inside = 1 if found["open"] else 0
        return found[0]

    return PART.sub(placed, html)
