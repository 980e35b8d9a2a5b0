"""Pages are whole and self-contained, and nobody's text becomes markup."""

import re

import pytest

from timesformer.pictures import page, palette
from timesformer.pictures.page import Html

NASTY = "<script>alert('&')</script>"


def test_text_is_escaped_wherever_it_is_put_and_html_is_kept() -> None:
    parts = [
        page.section(NASTY, page.paragraph(NASTY)),
        page.columns([page.card(Html("<p>{}</p>").format(NASTY), title=NASTY, series=0)]),
        page.table([(NASTY, Html("<b>bold</b>"))], head=[NASTY, ""]),
        page.key([NASTY]),
        page.details(NASTY, NASTY),
    ]
    text = page.page(NASTY, *parts)
    assert "<script" not in text
    assert text.count("&lt;script&gt;") == 11
    assert "<td><b>bold</b></td>" in text


def test_characters_that_cannot_be_seen_are_written_out() -> None:
    assert page.paragraph("a\x1b[31m\u202eb") == "<p>a\\x1b[31m\\u202eb</p>"
    assert page.paragraph("跳 é") == "<p>跳 é</p>"


def test_the_lines_of_a_long_text_stay_apart() -> None:
    assert "<pre>a = 1\nb = 2</pre>" in page.details("settings", "a = 1\nb = 2\n")


def test_a_page_is_one_document_that_fetches_nothing() -> None:
    text = page.page("Title", page.section("Part"))
    assert text.startswith("<!doctype html>") and text.endswith("</html>\n")
    assert "<title>Title</title>" in text and "<h1>Title</h1>" in text
    assert not re.search(r"https?:|url\(|@import|<script|<link", text)


def test_every_colour_of_the_style_sheet_comes_from_the_palette_in_light_and_dark() -> None:
    text = page.page("Title")
    style = text[text.index("<style>") : text.index("</style>")]
    known = {
        each
        for colour in vars(palette).values()
        if isinstance(colour, palette.Colour)
        for each in (colour.light, colour.dark)
    } | {each for colour in palette.SERIES for each in (colour.light, colour.dark)}
    assert set(re.findall(r"#[0-9a-f]{6}\b", style)) == known
    assert set(re.findall(r"var\(--([\w-]+)\)", style)) - {"hue", "share"} <= set(re.findall(r"--([\w-]+):", style))


@pytest.mark.parametrize(("share", "text"), [(0.0, "0.0%"), (0.125, "12.5%"), (1.0, "100.0%")])
def test_shares_are_written_with_one_decimal(share: float, text: str) -> None:
    assert page.percent(share) == text
