"""A map as one HTML file: a point shows its video's frame where the pointer is, or where the Tab key has led."""

import base64
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from timesformer.pictures.maps.classes import SHAPES, Mark, marks
from timesformer.pictures.page import Html, card, page, paragraph
from timesformer.pictures.palette import CATEGORIES, SOFT

WIDTH, EDGE = 900, 24
"""Side of the drawing, and the empty edge around the points."""


@dataclass(frozen=True, eq=False)
class Points:
    """A panel of the page."""

    title: str
    places: NDArray[np.float64]
    """(n, 2)"""
    labels: Sequence[str]
    names: Sequence[str]
    """What each point is called, such as the path of its video."""
    frames: Sequence[str]
    """The frame of each point as a data URI; empty where there is none."""


def render(panels: Sequence[Points], *, title: str, notes: Sequence[str] = ()) -> str:
    """The page as HTML. Names and labels are others' text: they are escaped, and the script only shows them as text."""
    legend = marks(label for panel in panels for label in panel.labels)
    counts = Counter(label for panel in panels for label in panel.labels)
    order = list(dict.fromkeys(legend.values()))
    parts = [Html("<style>{}</style>").format(Html(_style())), *(paragraph(note, soft=True) for note in notes)]
    parts.append(_legend(order, legend, counts, panels=len(panels)))
    drawn = [card(_drawing(panel, legend, order), title=panel.title) for panel in panels]
    parts.append(Html('<div class="maps{}">{}</div>').format("" if len(drawn) > 1 else " alone", Html("").join(drawn)))
    parts.append(Html('<div id="shown" role="status" hidden><img alt=""><b></b><span></span></div>'))
    parts.append(Html("<script>{}</script>").format(Html(_SCRIPT)))
    return page(title, *parts)


def data_uri(frame: NDArray[np.uint8]) -> str:
    """A frame (h, w, 3) as JPEG within an address."""
    from matplotlib.image import imsave

    buffer = BytesIO()
    imsave(buffer, frame, format="jpeg", pil_kwargs={"quality": 80})
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _legend(order: Sequence[Mark], legend: dict[str, Mark], counts: Counter[str], *, panels: int) -> Html:
    """A button for each class, which shows that class alone."""
    buttons = []
    for number, mark in enumerate(order):
        points = sum(count for label, count in counts.items() if legend[label] is mark) // panels
        buttons.append(
            Html('<button type="button" aria-pressed="false" data-class="{}">{}{} <small>{}</small></button>').format(
                number, _symbol(mark), mark.name, points
            )
        )
    return Html('<div class="legend">{}</div>').format(Html("").join(buttons))


def _symbol(mark: Mark) -> Html:
    shape = Html('<svg viewBox="-1.5 -1.5 3 3" aria-hidden="true"><path class="{}" d="{}"/></svg>')
    return shape.format(_colour(mark), SHAPES[mark.shape][1])


def _colour(mark: Mark) -> str:
    return "c-soft" if mark.number < 0 else f"c-{mark.number}"


def _drawing(panel: Points, legend: dict[str, Mark], order: Sequence[Mark]) -> Html:
    low, high = panel.places.min(axis=0), panel.places.max(axis=0)
    scale = (WIDTH - 2 * EDGE) / max(float((high - low).max()), 1e-9)
    middle = (low + high) / 2
    radius = float(np.clip(170 / np.sqrt(len(panel.labels)), 4.5, 11))
    points = []
    numbers = {id(mark): number for number, mark in enumerate(order)}
    for place, label, name, frame in zip(panel.places, panel.labels, panel.names, panel.frames, strict=True):
        mark = legend[label]
        across, down = (place - middle) * (scale, -scale) + WIDTH / 2
        points.append(
            Html(
                '<path class="point {}" tabindex="0" role="img" aria-label="{}" data-class="{}" data-label="{}" '
                'data-name="{}"{} transform="translate({:.1f} {:.1f}) scale({:.1f})" d="{}"/>'
            ).format(
                _colour(mark),
                f"{label or mark.name}, {name}",
                numbers[id(mark)],
                label or mark.name,
                name,
                Html(' data-frame="{}"').format(frame) if frame else "",
                across,
                down,
                radius,
                SHAPES[mark.shape][1],
            )
        )
    return Html('<svg class="map" viewBox="0 0 {0} {0}">{1}</svg>').format(WIDTH, Html("").join(points))


def _style() -> str:
    """Rules for the map alone: the colours of the classes, light and dark, and the frame that is shown."""
    light = " ".join(f".c-{number} {{ fill: {colour.light}; }}" for number, colour in enumerate(CATEGORIES))
    dark = " ".join(f".c-{number} {{ fill: {colour.dark}; }}" for number, colour in enumerate(CATEGORIES))
    return (
        f"{light} .c-soft {{ fill: {SOFT.light}; }} @media (prefers-color-scheme: dark) "
        f"{{ {dark} .c-soft {{ fill: {SOFT.dark}; }} }} {_RULES}"
    )


_RULES = """
main { max-width: 1500px; }
.maps { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 1rem; }
.maps.alone { max-width: 980px; } .maps .card { margin: 0; padding: .8rem; } .maps h3 { overflow-wrap: anywhere; }
.legend { display: flex; flex-wrap: wrap; gap: .3rem; margin: 0 0 1rem; max-height: 12rem; overflow-y: auto; }
.legend button { display: inline-flex; align-items: center; gap: .35rem; font: inherit; font-size: .85rem;
  color: var(--ink); background: var(--card); border: 1px solid var(--line); border-radius: 999px;
  padding: .1rem .65rem .1rem .4rem; cursor: pointer; max-width: 100%; overflow-wrap: anywhere; text-align: left; }
.legend button[aria-pressed=true] { border-color: var(--ink); box-shadow: inset 0 0 0 1px var(--ink); }
.legend small { color: var(--soft); } .legend svg { width: 1rem; flex: none; }
.point { stroke: var(--card); stroke-width: .14; cursor: pointer; }
.point:hover, .point:focus { stroke: var(--ink); stroke-width: .4; outline: none; }
.picked .point:not(.on) { opacity: .12; }
#shown { position: fixed; z-index: 2; width: 232px; background: var(--card); color: var(--ink); padding: .5rem;
  border: 1px solid var(--line); border-radius: 8px; box-shadow: 0 3px 14px rgb(0 0 0 / .25); pointer-events: none;
  font-size: .82rem; line-height: 1.35; overflow-wrap: anywhere; }
#shown[hidden] { display: none; } #shown img { width: 100%; border-radius: 4px; display: block; margin-bottom: .3rem; }
#shown b { display: block; } #shown span { color: var(--soft); }
"""

_SCRIPT = """
(() => {
  const shown = document.getElementById("shown"), image = shown.querySelector("img");
  const hide = () => { shown.hidden = true; };
  const show = event => {
    const point = event.target.closest(".point");
    if (!point) return hide();
    const { label, name, frame } = point.dataset;
    shown.querySelector("b").textContent = label;
    shown.querySelector("span").textContent = name;
    image.hidden = !frame;
    if (frame) image.src = frame; else image.removeAttribute("src");
    shown.hidden = false;
    const box = point.getBoundingClientRect(), own = shown.getBoundingClientRect();
    const { clientWidth: width, clientHeight: height } = document.documentElement;
    const fit = (at, room) => Math.max(8, Math.min(at, room - 8));
    const right = box.right + 12 + own.width < width ? box.right + 12 : box.left - 12 - own.width;
    shown.style.left = fit(right, width - own.width) + "px";
    shown.style.top = fit(box.top - own.height / 2, height - own.height) + "px";
  };
  for (const map of document.querySelectorAll(".map")) {
    map.addEventListener("pointerover", show);
    map.addEventListener("focusin", show);
    map.addEventListener("pointerleave", hide);
    map.addEventListener("focusout", hide);
  }
  addEventListener("keydown", event => { if (event.key === "Escape") hide(); });
  const buttons = [...document.querySelectorAll(".legend button")];
  for (const button of buttons) button.addEventListener("click", () => {
    const on = button.getAttribute("aria-pressed") !== "true";
    for (const each of buttons) each.setAttribute("aria-pressed", on && each === button);
    for (const map of document.querySelectorAll(".map")) map.classList.toggle("picked", on);
    for (const point of document.querySelectorAll(".point"))
      point.classList.toggle("on", point.dataset.class === button.dataset.class);
  });
})();
"""
