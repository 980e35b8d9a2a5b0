"""The page of the demo: one HTML file that needs nothing else, written from what the runs measured."""

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import numpy.typing as npt

Row = dict[str, float]
Pixels = npt.NDArray[np.uint8]

STYLE = """
:root { color-scheme: light dark; --ground: #fbfaf7; --card: #ffffff; --ink: #23262b; --soft: #656b74; --line: #dfe1e5;
  --run-0: #1f6fb4; --run-1: #bf5b17; --good: #24783f; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ground: #15171b; --card: #1e2127; --ink: #e7e8ea; --soft: #a0a6b0;
  --line: #363b44; --run-0: #67b0ee; --run-1: #f0985a; --good: #6fcf8b; --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 1040px; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 .6rem; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .7rem; }
p { max-width: 46rem; margin: .4rem 0 1rem; }
.soft { color: var(--soft); }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(300px, 1fr)); gap: 1rem; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1.1rem 1.25rem;
  min-width: 0; }
.card h3 { margin: 0 0 .3rem; font-size: 1rem; }
.run-0 { --hue: var(--run-0); } .run-1 { --hue: var(--run-1); }
.run-0 h3, .run-1 h3, .big { color: var(--hue); }
.big { font-size: 3.6rem; font-weight: 650; line-height: 1.1; font-variant-numeric: tabular-nums; }
.good { color: var(--good); } .bad { color: var(--bad); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.plain { width: 100%; }
.plain td, .plain th { border-bottom: 1px solid var(--line); padding: .35rem .6rem .35rem 0; text-align: left; }
.plain td + td { text-align: right; }
.confusion { width: 100%; table-layout: fixed; font-size: .78rem; }
.confusion th { font-weight: 400; color: var(--soft); text-align: right; padding-right: .45rem; }
.confusion thead th { text-align: left; padding: 0 0 .3rem .5rem; height: 7.4rem; vertical-align: bottom; }
.confusion thead th span { writing-mode: vertical-rl; transform: rotate(180deg); }
.confusion col:first-child { width: 8.2rem; }
.confusion td { height: 1.9rem; text-align: center; border: 1px solid var(--line);
  background: color-mix(in srgb, var(--hue) calc(var(--share) * 75%), transparent); }
.strips { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .35rem .9rem; align-items: center; }
.strips img { width: 100%; border-radius: 4px; display: block; }
.bars { display: grid; grid-template-columns: max-content 1fr 4rem; gap: .25rem .7rem; align-items: center; }
.bars .bar { background: color-mix(in srgb, var(--hue) 12%, transparent); border-radius: 3px; height: .85rem; }
.bars .bar i { display: block; background: var(--hue); border-radius: 3px; height: 100%; }
.bars .value { text-align: right; font-variant-numeric: tabular-nums; }
.true { font-weight: 650; }
svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--soft); font-size: 12px; }
svg .grid { stroke: var(--line); } svg .chance { stroke: var(--soft); stroke-dasharray: 4 4; }
svg polyline { fill: none; stroke: var(--hue); stroke-width: 2.2; stroke-linejoin: round; }
svg circle { fill: var(--hue); }
.key span { color: var(--hue); font-weight: 600; margin-right: 1.2rem; }
pre { overflow-x: auto; font-size: .82rem; line-height: 1.45; }
summary { cursor: pointer; }
"""

WIDTH, HEIGHT, LEFT, BELOW, ABOVE = 460, 250, 44, 34, 12
"""Size in pixels of a chart, and of the margins for its numbers."""


@dataclass(frozen=True)
class Result:
    """What one training came to, from its files."""

    scheme: str
    rows: tuple[Row, ...]
    """The metrics of each epoch."""
    top1: float
    """Share of the held-out videos that got the right class."""
    videos: int
    confusion: tuple[tuple[int, ...], ...]
    """Videos of each class (row) taken for each class (column)."""
    scores: tuple[float, ...]
    """Scores of the example, by class."""


@dataclass(frozen=True)
class Target:
    """What the demo is meant to show, and what it showed."""

    what: str
    wanted: str
    reached: str
    met: bool


@dataclass(frozen=True)
class Page:
    """Everything on the page."""

    labels: tuple[str, ...]
    results: tuple[Result, ...]
    targets: tuple[Target, ...]
    strips: tuple[Pixels, ...]
    """Some frames of a held-out video of each class, (t, h, w, 3)."""
    example: str
    """Path of the video that was predicted."""
    truth: str
    """Its class."""
    example_frames: Pixels
    times: tuple[tuple[str, float], ...]
    """Name and seconds of each stage."""
    settings: tuple[tuple[str, str], ...]
    config: str
    """The whole configuration as TOML."""


def render(page: Page) -> str:
    """The page as HTML; pictures and curves are inside, and nothing is fetched from anywhere."""
    parts = [
        _head(page),
        _accuracies(page),
        _section("What was to be shown", _targets(page.targets)),
        _section("The eight motions", _strips(page)),
        _section("Training", _curves(page)),
        _section("Confusions on held-out videos", _confusions(page)),
        _section("One held-out video", _example(page)),
        _section("Settings and times", _facts(page)),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>timesformer demo</title>'
        f"<style>{STYLE}</style></head><body><main>\n{''.join(parts)}</main></body></html>\n"
    )


def percent(share: float) -> str:
    """A share with one decimal, as all numbers on the page are written."""
    return f"{100 * share:.1f} %"


def _section(title: str, body: str) -> str:
    return f"<section><h2>{title}</h2>{body}</section>\n"


def _head(page: Page) -> str:
    return (
        "<h1>Seeing motion takes attention over time</h1>"
        f"<p>{len(page.labels)} motions of a textured shape, drawn so that no single frame tells them apart: half "
        "of them are the other half played backwards. The same training on the same videos, once with attention over "
        "space and time, once within each frame only.</p>\n"
    )


def _accuracies(page: Page) -> str:
    chance = percent(1 / len(page.labels))
    cards = (
        f'<div class="card run-{number}"><h3>{html.escape(result.scheme)} attention</h3>'
        f'<div class="big">{percent(result.top1)}</div>'
        f'<div class="soft">of {result.videos} held-out videos right; chance is {chance}</div></div>'
        for number, result in enumerate(page.results)
    )
    return f'<div class="pair">{"".join(cards)}</div>\n'


def _targets(targets: Sequence[Target]) -> str:
    rows = (
        f"<tr><td>{html.escape(target.what)}</td><td>{html.escape(target.wanted)}</td>"
        f"<td>{html.escape(target.reached)}</td>"
        f'<td class="{"good" if target.met else "bad"}">{"reached" if target.met else "missed"}</td></tr>'
        for target in targets
    )
    return f'<table class="plain"><tbody>{"".join(rows)}</tbody></table>'


def _picture(frames: Pixels, text: str) -> str:
    """Frames (t, h, w, 3) side by side, as an image within the page."""
    from matplotlib.image import imsave

    opaque = np.concatenate([frames, np.full_like(frames[..., :1], 255)], axis=-1)
    spaced = np.pad(opaque, ((0, 0), (0, 0), (0, 2), (0, 0)))  # gaps are transparent
    side_by_side = np.concatenate(list(spaced), axis=1)[:, :-2]
    buffer = BytesIO()
    imsave(buffer, np.ascontiguousarray(side_by_side), format="png")
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{html.escape(text)}" src="data:image/png;base64,{data}">'


def _strips(page: Page) -> str:
    rows = (
        f"<div>{html.escape(label)}</div>{_picture(frames, f'frames of {label}')}"
        for label, frames in zip(page.labels, page.strips, strict=True)
    )
    return f'<div class="card strips">{"".join(rows)}</div>'


def _curves(page: Page) -> str:
    key = "".join(f'<span class="run-{i}">{html.escape(run.scheme)}</span>' for i, run in enumerate(page.results))
    losses = [run.rows[epoch]["train_loss"] for run in page.results for epoch in range(len(run.rows))]
    chance = 1 / len(page.labels)
    charts = (
        ("Training loss", _chart(page.results, "train_loss", top=max(losses, default=1.0))),
        ("Accuracy on validation videos", _chart(page.results, "val_top1", top=1.0, chance=chance)),
    )
    cards = "".join(f'<div class="card"><h3>{title}</h3>{chart}</div>' for title, chart in charts)
    return f'<p class="key">{key}</p><div class="pair">{cards}</div>'


def _chart(results: Sequence[Result], name: str, *, top: float, chance: float | None = None) -> str:
    """A line for each run over its epochs, from zero up to ``top``."""
    epochs = max((len(run.rows) for run in results), default=1)
    inner_width, inner_height = WIDTH - LEFT - 10, HEIGHT - BELOW - ABOVE

    def x(epoch: float) -> str:
        return f"{LEFT + inner_width * (epoch - 1) / max(epochs - 1, 1):.1f}"

    def y(value: float) -> str:
        return f"{ABOVE + inner_height * (1 - value / top):.1f}"

    parts = []
    for quarter in range(5):
        level = top * quarter / 4
        text = f"{100 * level:.0f} %" if top == 1.0 else f"{level:.1f}"
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - 10}" y1="{y(level)}" y2="{y(level)}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(level)}" dy="4" text-anchor="end">{text}</text>')
    if chance is not None:
        parts.append(f'<line class="chance" x1="{LEFT}" x2="{WIDTH - 10}" y1="{y(chance)}" y2="{y(chance)}"/>')
        parts.append(f'<text x="{WIDTH - 10}" y="{y(chance)}" dy="15" text-anchor="end">chance</text>')
    for epoch in sorted({1, (epochs + 1) // 2, epochs}):
        parts.append(f'<text x="{x(epoch)}" y="{HEIGHT - 18}" text-anchor="middle">{epoch}</text>')
    parts.append(f'<text x="{LEFT + inner_width / 2}" y="{HEIGHT - 4}" text-anchor="middle">epoch</text>')
    for number, run in enumerate(results):
        points = [(x(row["epoch"]), y(row[name])) for row in run.rows]
        parts.append(f'<polyline class="run-{number}" points="{" ".join(f"{a},{b}" for a, b in points)}"/>')
        parts += [f'<circle class="run-{number}" cx="{a}" cy="{b}" r="2.6"/>' for a, b in points]
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{name} by epoch">{"".join(parts)}</svg>'


def _confusions(page: Page) -> str:
    cards = (
        f'<div class="card run-{number}"><h3>{html.escape(run.scheme)}</h3>{_matrix(run, page.labels)}</div>'
        for number, run in enumerate(page.results)
    )
    return (
        '<p class="soft">Rows are the class of a video, columns what it was taken for.</p>'
        f'<div class="pair">{"".join(cards)}</div>'
    )


def _matrix(run: Result, labels: Sequence[str]) -> str:
    head = "".join(f"<th><span>{html.escape(label)}</span></th>" for label in labels)
    body = []
    for label, counts in zip(labels, run.confusion, strict=True):
        total = max(sum(counts), 1)
        cells = "".join(f'<td style="--share: {count / total:.3f}">{count or ""}</td>' for count in counts)
        body.append(f"<tr><th>{html.escape(label)}</th>{cells}</tr>")
    columns = f"<colgroup><col>{'<col>' * len(labels)}</colgroup>"
    table = f"<thead><tr><th></th>{head}</tr></thead><tbody>{''.join(body)}</tbody>"
    return f'<table class="confusion">{columns}{table}</table>'


def _example(page: Page) -> str:
    cards = "".join(
        f'<div class="card run-{number}"><h3>{html.escape(f"{run.scheme}: {_answer(run, page)}")}</h3>'
        f"{_bars(run, page)}</div>"
        for number, run in enumerate(page.results)
    )
    return (
        f'<p><code>{html.escape(page.example)}</code> shows <span class="true">{html.escape(page.truth)}</span>. It is '
        "chosen before any training, whatever the models make of it.</p>"
        f'<div class="card" style="margin-bottom: 1rem"><div class="strips" style="grid-template-columns: 1fr">'
        f'{_picture(page.example_frames, "frames of the example")}</div></div><div class="pair">{cards}</div>'
    )


def _answer(run: Result, page: Page) -> str:
    best = page.labels[max(range(len(run.scores)), key=lambda index: run.scores[index])]
    return f"taken for “{best}”, {'correctly' if best == page.truth else 'wrongly'}"


def _bars(run: Result, page: Page) -> str:
    rows = (
        f"<div{' class=true' if label == page.truth else ''}>{html.escape(label)}</div>"
        f'<div class="bar"><i style="width: {100 * score:.1f}%"></i></div><div class="value">{percent(score)}</div>'
        for label, score in zip(page.labels, run.scores, strict=True)
    )
    return f'<div class="bars">{"".join(rows)}</div>'


def _facts(page: Page) -> str:
    settings = "".join(f"<tr><td>{html.escape(a)}</td><td>{html.escape(b)}</td></tr>" for a, b in page.settings)
    stages = [*page.times, ("together", sum(seconds for _, seconds in page.times))]
    times = "".join(f"<tr><td>{html.escape(name)}</td><td>{seconds:.1f} s</td></tr>" for name, seconds in stages)
    return (
        f'<div class="pair"><div class="card"><h3>Settings</h3><table class="plain">{settings}</table></div>'
        f'<div class="card"><h3>Times</h3><table class="plain">{times}</table></div></div>'
        f'<details class="card" style="margin-top: 1rem"><summary>The whole configuration of the first run</summary>'
        f"<pre>{html.escape(page.config)}</pre></details>"
    )
