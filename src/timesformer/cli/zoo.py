"""`timesformer zoo`: the names that stand for published weights."""

from typing import Annotated

import tyro

Name = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="[NAME]")]


def zoo(name: Name = "") -> int:
    """List the published checkpoints and the image models to start from, or show where one comes from.

    Args:
        name: Name of a checkpoint or an image model; without it, all are listed.
    """
    from timesformer.weights import image_models
    from timesformer.weights import zoo as published
    from timesformer.weights.report import WeightsError

    if not name:
        print("\n".join([*_checkpoints(), "", *_image_models()]))
        return 0
    found = published.find(name) or published.published_on_hub(name) or image_models.find(name)
    if found is None:
        raise WeightsError(f"{name!r} is not a published name; {published.suggestion(name)}")
    print("\n".join(found.lines()))
    return 0


def _checkpoints() -> list[str]:
    """The video models as a table, and where they come from."""
    from timesformer import cache
    from timesformer.weights import zoo as published

    shape = "{:<23} {:<13} {:<8} {:<9} {:>3} {:>6} {:>6}"
    lines = ["video models", shape.format("name", "data", "scheme", "clips", "px", "top-1", "top-5")]
    for entry in published.PUBLISHED:
        data = entry.data.replace("Something-Something-V2", "SSv2")
        lines.append(shape.format(entry.name, data, entry.scheme, entry.cut, entry.size, entry.top1, entry.top5 or "-"))
    lines += ["", "clips: frames x rate at 30 frames a second, or a frame from each part of a video"]
    for maker, page, licence in published.MAKERS:
        lines += [f"{maker}: {page}", f"  licence {licence}"]
    return [
        *lines,
        f"Files are looked for in {cache.folder() or 'no folder, since TIMESFORMER_CACHE is empty'}; "
        "where a hub copy exists, it is downloaded.",
        "`timesformer zoo NAME` says which file, from where, its hub copy and its licence.",
    ]


def _image_models() -> list[str]:
    """The image models as a table, and how a training starts from one."""
    from timesformer.weights import image_models

    return [
        "image models to start from, and what each is good for",
        *image_models.table(),
        "",
        "`timesformer train DATA --init NAME` downloads one and starts from it.",
    ]
