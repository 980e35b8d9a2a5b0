"""Figures of HTML pages that follow the page's colours, light or dark: lines, confusion matrices and bars.

:mod:`timesformer.pictures.charts` draws the same kinds of pictures as files of their own.
"""

from collections.abc import Callable, Sequence

from timesformer.pictures.page import Html

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT, LEFT, RIGHT, ABOVE, BELOW = 460, 250, 44, 10, 12, 34
"""Size of a line chart, and the margins around its lines, in pixels."""


def lines(
    series: Sequence[Points],
    *,
    x: str,
    number: Callable[[float], str],
    top: float | None = None,
    level: tuple[float, str] | None = None,
) -> Html:
    """A line chart from zero up to ``top``, or to the first round number above all points; one line for each series.

    ``x`` names the horizontal axis, whose values are whole numbers such as epochs. ``number`` writes a value beside the
    vertical axis. ``level`` is a value to compare with and its name, drawn as a dashed line.
    """
    from matplotlib.ticker import MaxNLocator

    points = [point for each in series for point in each]
    first, last = (round(limit((a for a, _ in points), default=1)) for limit in (min, max))
    most = top if top is not None else max((b for _, b in points), default=0.0) or 1.0
    ticks = [float(tick) for tick in MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]).tick_values(0, most)]
    end, right, bottom = max(ticks[-1], most), WIDTH - RIGHT, HEIGHT - BELOW

    def across(value: float) -> str:
        return f"{LEFT + (right - LEFT) * (value - first) / max(last - first, 1):.1f}"

    def up(value: float) -> str:
        return f"{bottom - (bottom - ABOVE) * value / end:.1f}"

    parts = [
        _rule("grid", up(tick)) + _label(LEFT - 6, up(tick), number(tick), anchor="end", below=4) for tick in ticks
    ]
    if level is not None:
        parts.append(_rule("level", up(level[0])))
    parts += [_label(across(value), HEIGHT - 18, f"{value}") for value in sorted({first, (first + last) // 2, last})]
    parts.append(_label((LEFT + right) / 2, HEIGHT - 4, x))
    for place, each in enumerate(series):
        at = [(across(a), up(b)) for a, b in each]
        path = " ".join(f"{a},{b}" for a, b in at)
        dots = (Html('<circle cx="{}" cy="{}" r="2.6"/>').format(a, b) for a, b in at)
        line = Html('<polyline points="{}"/>{}').format(path, Html("").join(dots))
        parts.append(Html('<g class="series-{}">{}</g>').format(place, line))
    if level is not None:  # its name lies above the lines, so that they never cross it out
        parts.append(_label(right, up(level[0]), level[1], anchor="end", below=15))
    return Html('<svg viewBox="0 0 {} {}">{}</svg>').format(WIDTH, HEIGHT, Html("").join(parts))


def matrix(counts: Sequence[Sequence[int]], labels: Sequence[str]) -> Html:
    """A confusion matrix: videos of each class (row) by their predicted class (column), shaded by share of the row."""
    names = Html("").join(Html("<th><span>{}</span></th>").format(label) for label in labels)
    rows = []
    for label, row in zip(labels, counts, strict=True):
        total = max(sum(row), 1)
        cells = (Html('<td style="--share: {:.3f}">{}</td>').format(count / total, count or "") for count in row)
        rows.append(Html("<tr><th>{}</th>{}</tr>").format(label, Html("").join(cells)))
    return Html(
        '<table class="matrix"><colgroup><col>{}</colgroup><thead><tr><th></th>{}</tr></thead><tbody>{}</tbody></table>'
    ).format(Html("<col>") * len(labels), names, Html("").join(rows))


def bars(values: Sequence[tuple[str, float]], *, number: Callable[[float], str], marked: str | None = None) -> Html:
    """A bar for each name and share between 0 and 1, with the marked name in bold."""
    rows = (
        Html('<div{}>{}</div><div class="bar"><i style="width: {:.1f}%"></i></div><div class="value">{}</div>').format(
            Html(' class="marked"') if name == marked else "", name, 100 * share, number(share)
        )
        for name, share in values
    )
    return Html('<div class="bars">{}</div>').format(Html("").join(rows))


def _rule(kind: str, y: str) -> Html:
    return Html('<line class="{}" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(kind, LEFT, WIDTH - RIGHT, y, y)


def _label(x: float | str, y: float | str, text: str, *, anchor: str = "middle", below: int = 0) -> Html:
    shape = Html('<text x="{}" y="{}" dy="{}" text-anchor="{}">{}</text>')
    return shape.format(x, y, below, anchor, text)
