"""The page of the demo: what two models, alike but for their attention, made of the same videos."""

from dataclasses import dataclass

from timesformer.pictures import figures, strips
from timesformer.pictures.page import Html, card, columns, details, key, page, paragraph, percent, section, table
from timesformer.pictures.strips import Pixels

Row = dict[str, float]


@dataclass(frozen=True)
class Result:
    """What came of one training."""

    scheme: str
    """Attention scheme of the model."""
    rows: tuple[Row, ...]
    """The metrics of each epoch."""
    top1: float
    """Share of the test videos that the model classified correctly."""
    videos: int
    """Number of test videos."""
    confusion: tuple[tuple[int, ...], ...]
    """Test videos of each class (row) by their predicted class (column)."""
    scores: tuple[float, ...]
    """Scores of the example video, by class."""


@dataclass(frozen=True)
class Target:
    """A goal of the demo, and what it reached."""

    what: str
    wanted: str
    reached: str
    met: bool


@dataclass(frozen=True)
class Example:
    """One test video."""

    path: str
    label: str
    """Its class."""
    frames: Pixels
    """Some of its frames, (t, h, w, 3)."""
    seconds: tuple[float, ...]
    """The time of each of them."""


@dataclass(frozen=True)
class Page:
    """Everything on the page."""

    labels: tuple[str, ...]
    results: tuple[Result, ...]
    targets: tuple[Target, ...]
    examples: tuple[Example, ...]
    """A test video of each class, opposite classes beside each other."""
    predicted: Example
    """The video whose scores are shown."""
    times: tuple[tuple[str, float], ...]
    """Name and seconds of each stage."""
    settings: tuple[tuple[str, str], ...]
    """Name and value of each."""
    config: str
    """The whole configuration of the first training as TOML."""


def render(demo: Page) -> str:
    """The page as HTML; images are inside, and nothing is fetched from anywhere."""
    return page(
        "Motion needs attention over time",
        paragraph(
            f"The videos show {len(demo.labels)} motions of a textured shape. No single frame tells the motions apart: "
            "half of the classes are the other half played backwards. Two models were trained on the same videos with "
            "the same settings. One attends over space and time, the other within each frame only."
        ),
        _accuracies(demo),
        section("The motions", _motions(demo)),
        section("Training", _curves(demo)),
        section("Confusion matrices", *_confusions(demo)),
        section("One test video", *_prediction(demo)),
        section("Goals", _targets(demo)),
        section("Settings and times", *_facts(demo)),
    )


def _accuracies(demo: Page) -> Html:
    text = '<div class="big">{}</div><div class="soft">top-1 accuracy on {} test videos; chance is {}</div>'
    chance = percent(1 / len(demo.labels))
    return columns(
        card(
            Html(text).format(percent(result.top1), result.videos, chance),
            title=f"{result.scheme} attention",
            series=number,
        )
        for number, result in enumerate(demo.results)
    )


def _motions(demo: Page) -> Html:
    sides = (demo.examples[side::2] for side in range(2))
    return columns(card(strips.named((each.label, _strip(each)) for each in side)) for side in sides)


def _strip(video: Example, *, captions: bool = False) -> Html:
    written = [f"{seconds:.2f} s" for seconds in video.seconds] if captions else []
    return strips.strip(video.frames, f"frames of a video of {video.label}", captions=written)


def _curves(demo: Page) -> Html:
    def points(name: str) -> list[list[tuple[float, float]]]:
        return [[(row["epoch"], row[name]) for row in result.rows] for result in demo.results]

    loss = figures.lines(points("train_loss"), x="epoch", number="{:.2g}".format)
    chance = (1 / len(demo.labels), "chance")
    accuracy = figures.lines(points("val_top1"), x="epoch", number="{:.0%}".format, top=1.0, level=chance)
    return key([result.scheme for result in demo.results]) + columns(
        [card(loss, title="Training loss"), card(accuracy, title="Top-1 accuracy on the validation videos")]
    )


def _confusions(demo: Page) -> tuple[Html, Html]:
    cards = (
        card(figures.matrix(result.confusion, demo.labels), title=result.scheme, series=number)
        for number, result in enumerate(demo.results)
    )
    return paragraph("A row for each true class, a column for each predicted class.", soft=True), columns(cards)


def _prediction(demo: Page) -> tuple[Html, Html, Html]:
    video = demo.predicted
    text = Html("<p><code>{}</code> is a video of <strong>{}</strong>. It was chosen before the training.</p>")
    cards = (
        card(
            figures.bars(tuple(zip(demo.labels, result.scores, strict=True)), number=percent, marked=video.label),
            title=f"{result.scheme}: {_answer(result, demo)}",
            series=number,
        )
        for number, result in enumerate(demo.results)
    )
    return text.format(video.path, video.label), card(_strip(video, captions=True)), columns(cards)


def _answer(result: Result, demo: Page) -> str:
    best = demo.labels[max(range(len(result.scores)), key=lambda index: result.scores[index])]
    return f"predicts “{best}” ({'correct' if best == demo.predicted.label else 'wrong'})"


def _targets(demo: Page) -> Html:
    reached, missed = Html('<span class="good">reached</span>'), Html('<span class="bad">missed</span>')
    return card(
        table(
            ((goal.what, goal.wanted, goal.reached, reached if goal.met else missed) for goal in demo.targets),
            head=("goal", "wanted", "measured", ""),
        )
    )


def _facts(demo: Page) -> tuple[Html, Html]:
    times = [*demo.times, ("total", sum(seconds for _, seconds in demo.times))]
    cards = (
        card(table(demo.settings), title="Settings"),
        card(table((name, f"{seconds:.1f} s") for name, seconds in times), title="Times"),
    )
    return columns(cards), details("The whole configuration of the first model's training", demo.config)
