"""Frames of a clip in a row, as pixels and as a figure of a page."""

import base64
from collections.abc import Iterable, Sequence
from io import BytesIO

import numpy as np
import numpy.typing as npt

from timesformer.pictures.page import Html

Pixels = npt.NDArray[np.uint8]

GAP = 2
"""Transparent pixels between two frames of a row."""


def row(frames: Pixels) -> Pixels:
    """Lay frames (t, h, w, 3) side by side with gaps between them: RGBA (h, t * w + (t - 1) * GAP, 4)."""
    opaque = np.concatenate([frames, np.full_like(frames[..., :1], 255)], axis=-1)
    spaced = np.pad(opaque, ((0, 0), (0, 0), (0, GAP), (0, 0)))
    joined: Pixels = np.concatenate(list(spaced), axis=1)
    return np.ascontiguousarray(joined[:, : joined.shape[1] - GAP])


def image(pixels: Pixels, text: str) -> Html:
    """An image (h, w, 3 or 4) as PNG within the page; ``text`` says what it shows to who can't see it."""
    from matplotlib.image import imsave

    buffer = BytesIO()
    imsave(buffer, pixels, format="png")
    data = base64.b64encode(buffer.getvalue()).decode()
    return Html('<img alt="{}" src="data:image/png;base64,{}">').format(text, data)


def strip(frames: Pixels, text: str, *, captions: Sequence[str] = ()) -> Html:
    """Frames (t, h, w, 3) in a row, with a caption below each if given."""
    if captions and len(captions) != len(frames):
        raise ValueError(f"{len(captions)} captions for {len(frames)} frames; give one for each frame, or none.")
    spans = Html("").join(Html("<span>{}</span>").format(caption) for caption in captions)
    below = Html("<figcaption>{}</figcaption>").format(spans) if captions else Html("")
    return Html('<figure class="strip">{}{}</figure>').format(image(row(frames), text), below)


def named(strips: Iterable[tuple[str, Html]]) -> Html:
    """Strips below one another, each under its name."""
    rows = Html("").join(Html("<div>{}</div>{}").format(name, strip) for name, strip in strips)
    return Html('<div class="named">{}</div>').format(rows)
