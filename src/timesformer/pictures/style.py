"""The one style sheet of all pages."""

from timesformer.pictures.palette import BAD, CARD, GOOD, GROUND, INK, LINE, SERIES, SOFT

COLOURS = {
    "ground": GROUND,
    "card": CARD,
    "ink": INK,
    "soft": SOFT,
    "line": LINE,
    "good": GOOD,
    "bad": BAD,
    **{f"series-{number}": colour for number, colour in enumerate(SERIES)},
}
"""The palette by the names of its CSS variables."""

_RULES = """
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 1040px; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 .6rem; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .7rem; }
h3 { font-size: 1rem; margin: 0 0 .5rem; }
p { max-width: 46rem; margin: .4rem 0 1rem; }
.soft { color: var(--soft); }
.good { color: var(--good); font-weight: 600; } .bad { color: var(--bad); font-weight: 600; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 300px), 1fr)); gap: 1rem; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1.1rem 1.25rem;
  min-width: 0; }
.card + .card, .columns + .card, .card + .columns { margin-top: 1rem; }
.columns > .card { margin-top: 0; }
.coloured h3, .big { color: var(--hue); }
.big { font-size: 3.6rem; font-weight: 650; line-height: 1.1; font-variant-numeric: tabular-nums; }
.key span { color: var(--hue); font-weight: 600; margin-right: 1.2rem; }
pre { overflow-x: auto; font-size: .82rem; line-height: 1.45; }
summary { cursor: pointer; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%; }
td, th { border-bottom: 1px solid var(--line); padding: .35rem .6rem .35rem 0; text-align: left; }
th { font-weight: 400; color: var(--soft); }
tr:last-child td { border-bottom: 0; }
.matrix { table-layout: fixed; font-size: .78rem; }
.matrix col:first-child { width: 8.2rem; }
.matrix th { border: 0; text-align: right; padding: 0 .45rem 0 0; }
.matrix thead th { text-align: left; padding: 0 0 .3rem .5rem; height: 7.4rem; vertical-align: bottom; }
.matrix thead th span { writing-mode: vertical-rl; transform: rotate(180deg); }
.matrix td, .matrix tr:last-child td { height: 1.9rem; padding: 0; text-align: center; border: 1px solid var(--line);
  background: color-mix(in srgb, var(--hue) calc(var(--share) * 75%), transparent); }
.bars { display: grid; grid-template-columns: max-content 1fr 4rem; gap: .25rem .7rem; align-items: center; }
.bars .bar { background: color-mix(in srgb, var(--hue) 12%, transparent); border-radius: 3px; height: .85rem; }
.bars .bar i { display: block; background: var(--hue); border-radius: 3px; height: 100%; }
.bars .value { text-align: right; font-variant-numeric: tabular-nums; }
.bars .marked { font-weight: 650; }
.named > div { font-size: .85rem; } .named > .strip + div { margin-top: .6rem; }
.strip { margin: 0; min-width: 0; }
.strip img { width: 100%; border-radius: 4px; display: block; }
.strip figcaption { display: flex; font-size: .75rem; color: var(--soft); }
.strip figcaption span { flex: 1; text-align: center; }
svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--soft); font-size: 12px; paint-order: stroke; stroke: var(--card); stroke-width: 3px; }
svg .grid { stroke: var(--line); } svg .level { stroke: var(--soft); stroke-dasharray: 4 4; }
svg polyline { fill: none; stroke: var(--hue); stroke-width: 2.2; stroke-linejoin: round; }
svg circle { fill: var(--hue); }
"""


def sheet() -> str:
    """The style sheet as CSS: light or dark as the reader's system asks. Series n has its colour in class series-n."""
    light = " ".join(f"--{name}: {colour.light};" for name, colour in COLOURS.items())
    dark = " ".join(f"--{name}: {colour.dark};" for name, colour in COLOURS.items())
    series = " ".join(f".series-{number} {{ --hue: var(--series-{number}); }}" for number in range(len(SERIES)))
    return (
        f":root {{ color-scheme: light dark; {light} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n{series}{_RULES}"
    )
