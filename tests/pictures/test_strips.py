"""Frames in a row: as pixels, and as a figure of a page."""

import base64
import re
from io import BytesIO

import numpy as np
import pytest
from matplotlib.image import imread

from timesformer.pictures import strips

FRAMES = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3), dtype=np.uint8)


def test_frames_stand_side_by_side_with_transparent_gaps() -> None:
    row = strips.row(FRAMES)
    assert (row.shape, row.dtype) == ((4, 3 * 5 + 2 * 2, 4), np.uint8)
    for number, frame in enumerate(FRAMES):
        np.testing.assert_array_equal(row[:, 7 * number : 7 * number + 5, :3], frame)
    assert (row[..., 3] == np.array([*[255] * 5, 0, 0, *[255] * 5, 0, 0, *[255] * 5])).all()


def test_the_image_of_a_strip_is_inside_the_page_and_holds_every_pixel() -> None:
    text = strips.strip(FRAMES, 'a "jump"')
    found = re.search(r'<img alt="a &#34;jump&#34;" src="data:image/png;base64,([^"]+)">', text)
    assert found is not None and "figcaption" not in text
    pixels = imread(BytesIO(base64.b64decode(found[1])))
    np.testing.assert_array_equal(np.rint(pixels * 255).astype(np.uint8), strips.row(FRAMES))


def test_every_frame_has_its_caption() -> None:
    text = strips.strip(FRAMES, "frames", captions=["0 s", "<1 s", "2 s"])
    assert re.findall("<span>([^/]*)</span>", text) == ["0 s", "&lt;1 s", "2 s"]
    with pytest.raises(ValueError, match="2 captions for 3 frames; give one for each frame, or none"):
        strips.strip(FRAMES, "frames", captions=["0 s", "1 s"])


def test_strips_stand_under_their_names_in_order() -> None:
    text = strips.named((name, strips.strip(FRAMES, name)) for name in ("<b>", "run"))
    assert re.findall(r'<div>([^<]*)</div><figure class="strip"><img alt="([^"]*)"', text) == [
        ("&lt;b&gt;", "&lt;b&gt;"),
        ("run", "run"),
    ]
