"""The frame of every HTML page: one file that needs nothing else, built from parts that are safe to put together.

A page is made of :class:`Html`. Plain text becomes Html by escaping, so a label or file name never turns into markup:

    section("Results", card(Html("<p>{}</p>").format(label), title=label))
"""

from collections.abc import Iterable, Sequence
from typing import Any, Self

from markupsafe import Markup

from timesformer.pictures import style
from timesformer.plain import printable


class Html(Markup):
    """HTML of a page. Text that is formatted or joined into it is made printable and escaped unless it is Html too."""

    __slots__ = ()

    @classmethod
    def escape(cls, text: Any, /) -> Self:
        """The text as HTML."""
        return super().escape(text if isinstance(text, Markup) else printable(str(text)))


def page(title: str, *parts: Html, rules: str = "") -> str:
    """A whole page under a heading, with its style sheet inside; nothing is fetched from anywhere.

    ``rules`` are styles of this page alone, as CSS.
    """
    head = Html(
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>{}</title>'
    ).format(title)
    body = Html("</head><body><main>\n<h1>{}</h1>{}</main></body></html>\n").format(title, Html("").join(parts))
    return f"{head}<style>{style.sheet()}{rules}</style>{body}"


def section(title: str, *parts: Html) -> Html:
    """A part of a page under its own heading."""
    return Html("<section><h2>{}</h2>{}</section>\n").format(title, Html("").join(parts))


def paragraph(text: str, *, soft: bool = False) -> Html:
    """A paragraph; a soft one explains what stands beside it."""
    return Html("<p{}>{}</p>").format(Html(' class="soft"') if soft else "", text)


def columns(cards: Iterable[Html]) -> Html:
    """Cards side by side, or below one another on a narrow screen."""
    return Html('<div class="columns">{}</div>').format(Html("").join(cards))


def card(*parts: Html, title: str = "", series: int | None = None) -> Html:
    """Parts in a box with a title. All in it that has a colour takes that of the series."""
    coloured = "" if series is None else f" coloured series-{series}"
    heading = Html("<h3>{}</h3>").format(title) if title else Html("")
    return Html('<div class="card{}">{}{}</div>').format(coloured, heading, Html("").join(parts))


def key(names: Sequence[str]) -> Html:
    """The names of the series in their colours."""
    spans = (Html('<span class="series-{}">{}</span>').format(number, name) for number, name in enumerate(names))
    return Html('<p class="key">{}</p>').format(Html("").join(spans))


def table(rows: Iterable[Sequence[str]], *, head: Sequence[str] = ()) -> Html:
    """A table of text, or of Html, with names above its columns if given."""
    names = Html("<thead><tr>{}</tr></thead>").format(_cells("th", head)) if head else Html("")
    lines = Html("").join(Html("<tr>{}</tr>").format(_cells("td", row)) for row in rows)
    return Html("<table>{}<tbody>{}</tbody></table>").format(names, lines)


def details(summary: str, text: str) -> Html:
    """A long text, line by line as it is, that opens with a click."""
    lines = Html("\n").join(text.splitlines())
    return Html('<details class="card"><summary>{}</summary><pre>{}</pre></details>').format(summary, lines)


def percent(share: float) -> str:
    """A share between 0 and 1 as pages write it: ``"97.0%"``."""
    return f"{share:.1%}"


def _cells(tag: str, texts: Iterable[str]) -> Html:
    return Html("").join(Html(f"<{tag}>{{}}</{tag}>").format(text) for text in texts)
