"""The text of a model card, the page of a checkpoint on the Hugging Face hub; all text in it is escaped."""

import re

from timesformer.config.checks import in_pixels
from timesformer.config.model import ClipConfig
from timesformer.config.tasks import FACTS
from timesformer.plain import printable
from timesformer.weights.checkpoint import Checkpoint

MARKUP = re.compile(r"[\\`*<>\[\]#~|&$@!{}]|(?<!\w)_|_(?!\w)")
"""Characters with a meaning in HTML, Markdown and the hub's extensions."""
HEADER = "---\nlibrary_name: transformers\ntags:\n- timesformer\n- video\n---\n\n"
MARK = "<!-- written by timesformer: replaced when the folder is written again -->"
OURS = """```python
import timesformer

predictor = timesformer.Predictor("NAME_OR_FOLDER")
print(predictor("video.mp4").top())
```"""


def text(checkpoint: Checkpoint, *, transformers: bool) -> str:
    """Return the card without its metadata, in Markdown; ``transformers`` if that library can load the folder."""
    config, clip = checkpoint.model.config, checkpoint.clip
    labels = f": {', '.join(map(shown, checkpoint.labels))}" if checkpoint.labels else ""
    rows = [f"| {name} | {value} |" for name, value in vars(clip).items()]
    parts = [
        f"# TimeSformer, {config.scheme} attention, {config.frames} x {in_pixels(config.size).removesuffix(' px')}",
        shown(checkpoint.about),
        "features, no classes"
        if checkpoint.is_backbone
        else f"{config.classes} {FACTS[checkpoint.task].outputs}{labels}",
        "\n".join(["## Clips", "", "| setting | value |", "| --- | --- |", *rows]),
        f"## Use\n\n{OURS}",
    ]
    if transformers:
        parts += [
            "## Use with transformers",
            f'`pipeline("video-classification")` takes the first {clip.frames} frames of a video. '
            f"This model was trained on {sampling(clip)}, so its results for other frames are wrong, without a "
            "warning. Choose the frames yourself:",
            f"```python\n{snippet(checkpoint)}```",
        ]
    return "\n\n".join(part for part in parts if part) + "\n"


def shown(text: str) -> str:
    """Escape text for Markdown, so that it is shown literally and on one line."""
    return MARKUP.sub(lambda found: f"&#{ord(found.group())};", printable(text))


def sampling(clip: ClipConfig) -> str:
    """Describe which frames make a clip."""
    if clip.sampling == "segments":
        return f"one frame from each of {clip.frames} equal parts of the video"
    return f"{clip.frames} frames that span {clip.frames * clip.rate / clip.fps:.2f} seconds"


def snippet(checkpoint: Checkpoint) -> str:
    """Return a program for transformers that uses the same frames as our own prediction."""
    clip, task = checkpoint.clip, checkpoint.task
    if clip.sampling == "segments":
        numbers = f"""\
# the middle of each of {clip.frames} equal parts
borders = [round((len(frames) - 1) / {clip.frames} * i) for i in range({clip.frames} + 1)]
numbers = [(first + last) // 2 for first, last in zip(borders, borders[1:])]
"""
    else:
        numbers = f"""\
# {clip.frames} frames that span {clip.frames * clip.rate / clip.fps:.2f} seconds, from the middle of the video
span = {clip.rate} * {clip.frames} / {clip.fps!r} * fps
first = math.ceil(int(max(len(frames) - span, 0) / 2 * 512) / 512)
offsets = torch.linspace(0, span - 1, {clip.frames}).clamp(0, len(frames) - 1).long()
numbers = [min(first + offset, len(frames) - 1) for offset in offsets.tolist()]
"""
    colours = "frames[number]" if clip.channels == "rgb" else "frames[number][:, :, ::-1].copy()"
    order = "" if clip.channels == "rgb" else "  # blue first, as in training"
    answer = f"scores = {FACTS[task].scores}"
    if checkpoint.target_stats:
        means, deviations = ([pair[part] for pair in checkpoint.target_stats] for part in (0, 1))
        answer = f"scores = logits * torch.tensor({deviations}) + torch.tensor({means})"
    math_line = "" if clip.sampling == "segments" else "import math\n\n"
    return f"""\
{math_line}import av
import torch
from transformers import AutoImageProcessor, AutoModelForVideoClassification

name, path = "NAME_OR_FOLDER", "video.mp4"
with av.open(path) as video:
    fps = float(video.streams.video[0].average_rate)
    frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]

{numbers}clip = [{colours} for number in numbers]{order}

model = AutoModelForVideoClassification.from_pretrained(name).eval()
inputs = AutoImageProcessor.from_pretrained(name)(clip, return_tensors="pt")
with torch.no_grad():
    logits = model(**inputs).logits[0]
{answer}
for number in scores.argsort(descending=True)[:5].tolist():
    print(model.config.id2label[number], float(scores[number]))
"""
