"""Figures of the report: frames, shares with their intervals, reliability and scatter."""

import base64
from collections.abc import Sequence
from io import BytesIO

from timesformer.pictures.page import Html
from timesformer.pictures.report.values import Frames, Scatter, Span, Step
from timesformer.pictures.strips import Pixels

QUALITY = 85
SIDE, EDGE = 300, 46
"""Side of a square chart, and its margin for numbers."""


def photo(pixels: Pixels, text: str) -> Html:
    """A frame (h, w, 3) as JPEG within the page; ``text`` says what it shows to who can't see it."""
    from matplotlib.image import imsave

    buffer = BytesIO()
    imsave(buffer, pixels, format="jpeg", pil_kwargs={"quality": QUALITY})
    data = base64.b64encode(buffer.getvalue()).decode()
    tall, wide = pixels.shape[:2]
    return Html('<img alt="{}" width="{}" height="{}" src="data:image/jpeg;base64,{}">').format(text, wide, tall, data)


def frames(shown: Frames, name: str) -> Html:
    """Frames side by side, each with its heat below it if there is any, and its time."""
    cells = []
    for number, (pixels, time) in enumerate(zip(shown.pixels, shown.times, strict=True)):
        below = photo(shown.heat[number], f"where the model looked at {time} in {name}") if shown.heat else Html("")
        cell = Html("<figure>{}{}<figcaption>{}</figcaption></figure>")
        cells.append(cell.format(photo(pixels, f"{name} at {time}"), below, time))
    return Html('<div class="frames">{}</div>').format(Html("").join(cells))


def span(share: Span) -> Html:
    """A share as a point on a line from 0 to 1, with the range it probably lies in, and its text."""
    return Html(
        '<div class="span"><div class="track"><i style="left: {:.1f}%; width: {:.1f}%"></i><b style="left: {:.1f}%">'
        "</b></div><span>{}</span></div>"
    ).format(100 * share.low, 100 * (share.high - share.low), 100 * share.value, share.text)


def reliability(steps: Sequence[Step]) -> Html:
    """Share of right answers (up) by confidence (across), with the diagonal of a calibrated model."""
    ticks = [(value, f"{value:.0%}") for value in (0.0, 0.25, 0.5, 0.75, 1.0)]
    parts = [_frame(ticks, ticks, "confidence", "share that is right"), _diagonal()]
    for step in steps:
        if step.count:
            left, right, top = _across(step.low), _across(step.high), _up(step.accuracy)
            words = f"{step.count} with confidence {step.confidence:.1%}: {step.accuracy:.1%} right"
            parts.append(
                Html('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>').format(
                    left + 1, top, right - left - 2, max(_up(0) - top, 1), words
                )
            )
            spot = Html('<circle cx="{:.1f}" cy="{:.1f}" r="3.2"/>').format(_across(step.confidence), top)
            count = Html('<text x="{:.1f}" y="{:.1f}" text-anchor="middle">{}</text>')
            parts += [spot, count.format((left + right) / 2, max(top - 6, 10), f"{step.count}")]
    return _square(parts)


def scatter(chart: Scatter) -> Html:
    """Predicted numbers (up) by true ones (across), with the diagonal of exact answers."""
    from matplotlib.ticker import MaxNLocator

    values = [value for point in chart.points for value in point]
    marks = [float(tick) for tick in MaxNLocator(5).tick_values(min(values), max(values))]
    low, high = marks[0], marks[-1]

    def place(value: float) -> float:
        return (value - low) / ((high - low) or 1)

    ticks = [(place(mark), f"{mark:.6g}") for mark in marks]
    dots = (
        Html('<circle cx="{:.1f}" cy="{:.1f}" r="3"/>').format(_across(place(true)), _up(place(said)))
        for true, said in chart.points
    )
    return _square([_frame(ticks, ticks, "true", "predicted"), _diagonal(), *dots])


def _square(parts: Sequence[Html]) -> Html:
    return Html('<svg class="square" viewBox="0 0 {} {}"><g class="series-0">{}</g></svg>').format(
        SIDE + EDGE + 24, SIDE + 2 * EDGE, Html("").join(parts)
    )


def _frame(across: Sequence[tuple[float, str]], up: Sequence[tuple[float, str]], x: str, y: str) -> Html:
    line = Html('<line class="grid" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>')
    text = Html('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>')
    parts = []
    for place, words in up:
        parts += [line.format(EDGE, EDGE + SIDE, _up(place), _up(place))]
        parts += [text.format(EDGE - 4, _up(place) + 4, "end", words)]
    parts += [text.format(_across(place), _up(0) + 15, "middle", words) for place, words in across]
    parts.append(text.format(EDGE + SIDE / 2, _up(0) + 31, "middle", x))
    parts.append(text.format(2, 11, "start", y))
    return Html("").join(parts)


def _diagonal() -> Html:
    shape = Html('<line class="level" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>')
    return shape.format(_across(0), _across(1), _up(0), _up(1))


def _across(share: float) -> float:
    return EDGE + SIDE * share


def _up(share: float) -> float:
    return EDGE / 2 + 8 + SIDE * (1 - share)
