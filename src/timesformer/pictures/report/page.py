"""The page of a report: one HTML file that fetches nothing, in light and dark, and on paper."""

from collections.abc import Iterable, Sequence

from timesformer.pictures import figures
from timesformer.pictures.page import Html, card, columns, details, key, page, paragraph, percent, section
from timesformer.pictures.report import drawn
from timesformer.pictures.report.values import Big, Curve, Page, Reliability, Span, Table, Video, Videos

RULES = """
body { overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; }
.big { font-size: 2.6rem; color: var(--ink); }
.wide { overflow-x: auto; }
.wide .matrix { min-width: calc(8.2rem + 1.7rem * var(--count)); }
.wide table { overflow-wrap: normal; }
.wide td, .wide th { vertical-align: top; } .wide td:first-child { max-width: 16rem; overflow-wrap: anywhere; }
.frames { display: grid; grid-template-columns: repeat(auto-fill, minmax(74px, 1fr)); gap: .35rem; }
.frames figure { margin: 0; } .frames img { width: 100%; height: auto; display: block; border-radius: 3px; }
.frames img + img { margin-top: 2px; } .frames figcaption { font-size: .72rem; color: var(--soft); }
.samples .frames { grid-template-columns: repeat(4, minmax(0, 1fr)); }
.samples { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 330px), 1fr)); gap: .8rem 1.2rem; }
.samples h3 { font-size: .88rem; font-weight: 500; margin: 0 0 .2rem; }
.video { display: grid; grid-template-columns: minmax(min(100%, 13rem), 1fr) 3fr; gap: .6rem 1.1rem; }
.video code { font-size: .75rem; color: var(--soft); }
.video .bars { font-size: .82rem; grid-template-columns: minmax(3rem, max-content) minmax(2rem, 1fr) 3.4rem; }
@media (max-width: 640px) { .video { grid-template-columns: 1fr; } main { padding: 1.4rem .8rem 3rem; }
  .card { padding: .8rem; } }
.span { display: grid; grid-template-columns: minmax(5rem, 9rem) auto; gap: .7rem; align-items: center; }
.span .track { position: relative; height: .9rem; border-radius: 3px;
  background: color-mix(in srgb, var(--series-0) 10%, transparent); }
.span i { position: absolute; top: .3rem; height: .3rem; min-width: 2px; border-radius: 2px;
  background: color-mix(in srgb, var(--series-0) 55%, transparent); }
.span b { position: absolute; top: .1rem; width: .22rem; height: .7rem; margin-left: -.11rem;
  background: var(--series-0); border-radius: 1px; }
.span span { white-space: nowrap; font-size: .85rem; }
.cautions { border-left: 4px solid var(--series-1); }
ul { padding-left: 1.2rem; margin: .2rem 0 .4rem; } li { margin: .2rem 0; max-width: 60rem; }
svg.square { max-width: 400px; }
svg rect { fill: color-mix(in srgb, var(--hue) 35%, transparent); }
pre { white-space: pre-wrap; margin: .3rem 0 .8rem; }
@page { margin: 14mm; }
@media print {
  main { max-width: none; padding: 0; } section { break-inside: auto; } h2, h3 { break-after: avoid; }
  .card, figure, tr, .video { break-inside: avoid; } .card:has(table), .card:has(ul) { break-inside: auto; }
  .wide { overflow: visible; } body { font-size: 12px; -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  .columns { grid-template-columns: repeat(auto-fit, minmax(210px, 1fr)); }
  .frames { grid-template-columns: repeat(8, 1fr); }
}
"""
"""Style of the report alone, after that of all pages."""


def render(report: Page) -> str:
    """The page as HTML; images are inside, and nothing is fetched from anywhere."""
    parts = [*(paragraph(text) for text in report.intro), columns(map(_big, report.big))]
    if report.cautions:
        inside = _list(report.cautions)
        parts.append(Html('<div class="card cautions"><h3>{}</h3>{}</div>').format("Keep in mind", inside))
    parts += [_data(report), _settings(report)]
    if report.curves:
        parts.append(section("Training", columns(map(_curve, report.curves))))
    if report.results:
        parts.append(section("Results", *_results(report)))
    if report.calibration:
        parts.append(section("Can the scores be trusted?", *_calibration(report)))
    parts += [section(group.title, *_videos(group)) for group in report.groups if group.videos]
    parts.append(section("Cost", _table(report.cost)))
    parts.append(section("Do it again", *_commands(report), _table(report.facts)))
    return page(report.title, *parts, rules=RULES)


def _big(number: Big) -> Html:
    below = Html("").join(Html('<div class="soft">{}</div>').format(text) for text in number.below)
    return card(Html('<div class="big">{}</div>{}').format(number.value, below), title=number.name)


def _data(report: Page) -> Html:
    parts = [_list(report.data)] if report.data else []
    parts += [card(_rows(each), _note(each.note), title=each.title) for each in report.tables]
    if report.samples:
        cells = (
            Html("<div><h3>{}</h3>{}</div>").format(name, drawn.frames(frames, f"a video of {name}"))
            for name, frames in report.samples
        )
        grid = Html('<div class="samples">{}</div>').format(Html("").join(cells))
        parts.append(card(grid, title="A training video of each class" if report.labels else "Training videos"))
    return section("Data", *parts)


def _settings(report: Page) -> Html:
    reasons = [card(_list(report.reasons), title="Why they were chosen")] if report.reasons else []
    return section("Settings", *reasons, details("All settings", report.config))


def _curve(curve: Curve) -> Html:
    number = "{:.0%}".format if curve.percent else "{:.3g}".format
    top = 1.0 if curve.percent else None
    drawing = figures.lines(curve.lines, x="epoch", number=number, top=top, level=curve.level)
    return card(key(curve.names) if curve.names else Html(""), drawing, title=curve.title)


def _results(report: Page) -> Iterable[Html]:
    for table in report.results:
        yield card(_rows(table), _note(table.note), title=table.title)
    if report.confusion:
        matrix = figures.matrix(report.confusion, report.labels)
        box = Html('<div class="wide" style="--count: {}">{}</div>').format(len(report.labels), matrix)
        yield card(_note("A row for each true class, a column for each predicted one."), box, series=0)
    if report.scatters:
        yield columns(card(drawn.scatter(each), title=each.title) for each in report.scatters)


def _calibration(report: Page) -> Iterable[Html]:
    yield from (paragraph(text) for text in report.calibration_text)
    yield columns(map(_reliability, report.calibration))
    if report.calibration_code:
        yield details("Use this temperature", report.calibration_code)


def _reliability(chart: Reliability) -> Html:
    return card(_list(chart.lines), drawn.reliability(chart.steps), title=chart.title)


def _videos(group: Videos) -> Iterable[Html]:
    if group.note:
        yield paragraph(group.note, soft=True)
    yield from (_video(each) for each in group.videos)


def _video(video: Video) -> Html:
    lines = Html("").join(Html("<div>{}</div>").format(text) for text in video.lines)
    path = Html("<div><code>{}</code></div>").format(video.path)
    bars = Html("")
    if video.said:
        marked = [(f"{name} ✓" if name in video.truth else name, share) for name, share in video.said]
        bars = Html('<div class="series-0">{}</div>').format(figures.bars(marked, number=percent))
    seen = drawn.frames(video.frames, video.path) if video.frames else paragraph("Its frames can't be read.", soft=True)
    return card(Html('<div class="video"><div>{}{}{}</div>{}</div>').format(lines, path, bars, seen), title=video.title)


def _commands(report: Page) -> Iterable[Html]:
    shape = Html("<div>{}</div><pre>{}</pre>")
    yield card(*(shape.format(what, command) for what, command in report.commands))


def _list(texts: Sequence[str]) -> Html:
    return Html("<ul>{}</ul>").format(Html("").join(Html("<li>{}</li>").format(text) for text in texts))


def _note(text: str) -> Html:
    return paragraph(text, soft=True) if text else Html("")


def _table(table: Table) -> Html:
    return card(_rows(table), _note(table.note), title=table.title)


def _rows(table: Table) -> Html:
    head = Html("").join(Html("<th>{}</th>").format(name) for name in table.head)
    rows = Html("").join(
        Html("<tr>{}</tr>").format(
            Html("").join(
                Html("<td>{}</td>").format(drawn.span(cell) if isinstance(cell, Span) else cell) for cell in row
            )
        )
        for row in table.rows
    )
    above = Html("<thead><tr>{}</tr></thead>").format(head) if table.head else Html("")
    return Html('<div class="wide"><table>{}<tbody>{}</tbody></table></div>').format(above, rows)
