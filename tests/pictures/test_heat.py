"""Heat lies where the model looked, in colours that keep their order, and nothing is coloured that says nothing."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from PIL import Image

from timesformer.pictures import palette
from timesformer.pictures.heat import animation, colours, sheet, text
from timesformer.pictures.heat.film import Film, resized
from timesformer.pictures.heat.overlay import LUMA, Heat, in_even_shares, strip
from timesformer.pictures.heat.sheet import BLUE, ORANGE, Bars, Sheet
from timesformer.pictures.strips import Pixels

WHOLE = (0.0, 0.0, 64.0, 96.0)
GREY = np.full((64, 96, 3), 120, np.uint8)


def heat(maps: np.ndarray, *areas: tuple[float, float, float, float], size: tuple[int, int] = (64, 96)) -> Heat:
    """Heat of maps (n, rows, columns), the same in every crop, a second apart."""
    several = np.repeat(maps[:, None].astype(np.float32), len(areas) or 1, axis=1)
    return Heat(np.arange(len(maps), dtype=np.float64), several, areas or (WHOLE,), size)


def film(shown: Heat, *, label: str = "wave", scores: tuple[str, ...] = ("97.0%",), duration: float = 2.0) -> Film:
    starts = tuple(float(number) for number in range(len(scores)))
    return Film(shown, label, "colour: what speaks for this class", scores, starts, duration)


def coloured(frame: Pixels) -> np.ndarray:
    """Where a picture is not grey."""
    return np.ptp(frame.astype(int), axis=-1) > 12


def test_a_map_that_says_nothing_leaves_the_frame_grey() -> None:
    rng = np.random.default_rng(0)
    shown = heat(in_even_shares(1 + 0.2 * rng.random((2, 6, 6), dtype=np.float32)))
    painted = shown.paint(GREY, shown.canvas(0.5))
    assert not coloured(painted).any()
    assert np.abs(painted.astype(int) - 120).max() <= 12
    empty = heat(in_even_shares(np.zeros((2, 6, 6), np.float32)))
    assert (empty.paint(GREY, empty.canvas(0)) == 120).all()


def test_colours_grow_lighter_and_stronger_with_the_value() -> None:
    table, opacities = colours.table()
    light = (table / 255) ** 2.2 @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(light) >= 0).all() and light[-1] > 8 * light[0] and (np.diff(opacities[:, 0]) > 0).all()
    assert opacities[0] == 0 and 0.5 < opacities[-1] < 1  # the frame can be seen below all of them
    values = np.array([0, 1, 2.5, 4, 9], np.float32)
    assert colours.levels(values, 4).tolist() == [0, 0, 128, 255, 255]


def test_the_scale_ends_at_a_round_number_that_few_values_exceed() -> None:
    assert [colours.top(np.array([each], np.float32)) for each in (0, 1.5, 4.1, 11, 700, 1e9)] == [
        4,
        4,
        5,
        12,
        800,
        1000,
    ]
    many = np.ones(1000, np.float32)
    many[0] = 300
    assert colours.top(many) == 4


def test_heat_lies_where_its_patch_lies_in_the_crop_and_the_rest_is_dimmed() -> None:
    maps = np.zeros((1, 4, 4))
    maps[0, 0, 3] = 16  # top right of the crop
    shown = heat(maps, (16, 8, 32, 32))
    painted = shown.paint(GREY, shown.canvas(0))
    rows, columns = np.nonzero(coloured(painted))
    assert (rows.min(), columns.max()) == (16, 39) and rows.max() < 32 and columns.min() > 24
    strongest = np.unravel_index(np.argmin(painted[..., 2].astype(int) - painted[..., 0]), GREY.shape[:2])
    assert 16 <= strongest[0] < 24 and 32 <= strongest[1] < 40
    assert (painted[:16] == 48).all() and (painted[48:] == 48).all() and (painted[20, 8:20] == 120).all()
    twice = shown.paint(GREY.repeat(2, 0).repeat(2, 1), shown.canvas(0))
    assert np.nonzero(coloured(twice))[1].max() == 79


def test_between_frames_heat_is_interpolated_and_beyond_them_it_stays() -> None:
    maps = np.stack([np.full((3, 3), 1.0), np.full((3, 3), 5.0)])
    shown = heat(maps)
    means = [float(shown.canvas(time).mean()) for time in (-1, 0, 0.25, 1, 7)]
    assert means == pytest.approx([1, 1, 2, 5, 5], abs=1e-3)


def test_crops_that_overlap_fade_into_each_other() -> None:
    areas = ((0.0, 0.0, 64.0, 64.0), (0.0, 16.0, 64.0, 64.0), (0.0, 32.0, 64.0, 64.0))
    even = heat(np.full((1, 4, 4), 3.0), *areas)
    assert np.allclose(even.canvas(0), 3, atol=1e-3)
    several = heat(np.ones((1, 4, 4)), *areas)
    several.maps[0, 2] = 9
    line = several.canvas(0).mean(axis=0)
    assert (np.diff(line) >= -1e-4).all() and line[0] < 1.1 and line[-1] > 8.9 and np.diff(line).max() < 2


def test_a_strip_paints_each_frame_with_its_own_map() -> None:
    maps = np.zeros((2, 4, 4), np.float32)
    maps[0, :, 0] = maps[1, :, 3] = 0.1
    first, second = strip(np.stack([GREY, GREY]), maps)
    assert np.nonzero(coloured(first))[1].max() < 40 < 56 < np.nonzero(coloured(second))[1].min()


@pytest.mark.parametrize("size", [(64, 96), (4, 4), (1, 3000), (241, 321), (480, 270)])
def test_a_frame_of_a_film_is_the_video_with_words_below(size: tuple[int, int]) -> None:
    shown = heat(np.ones((2, 4, 4)), (0.0, 0.0, *map(float, size)), size=size)
    frame = film(shown).frame(np.full((*size, 3), 99, np.uint8), 0.3)
    tall, wide = film(shown).frame_size
    assert (tall / size[0], wide) in ((1, size[1]), (wide / size[1], wide)) and wide >= 320
    assert frame.shape[1] == wide and frame.shape[0] % 2 == 0 and (frame[:tall] == 99).all()
    assert len(np.unique(frame[tall:])) > 20
    assert frame.shape[0] - tall >= 60


def test_a_film_says_which_clip_it_is_in_and_what_time_it_is() -> None:
    shown = heat(np.ones((2, 4, 4)))
    both = film(shown, scores=("97.0%", "13.0%"))
    early, late, later = (both.frame(GREY, time) for time in (0.5, 1.5, 1.6))
    assert (early != late).any() and (late != later).any()
    alike = film(shown, scores=("97.0%", "97.0%"))
    clock = slice(alike.frame_size[1] * 3 // 4, None)
    first, second = alike.frame(GREY, 0.8), alike.frame(GREY, 1.0)
    assert (first[:, clock] != second[:, clock]).any()


@pytest.mark.parametrize("label", ["x" * 500, "空翻", "\x1b[31mred\u202e", "$\\frac{1}{2}$", "a\nb", ""])
def test_any_label_fits_into_a_film(label: str) -> None:
    shown = heat(np.ones((1, 4, 4)))
    named, unnamed = film(shown, label=label).frame(GREY, 0), film(shown, label="").frame(GREY, 0)
    assert named.shape == unnamed.shape and (bool(label) == bool((named != unnamed).any()))
    tall, wide = film(shown).frame_size
    score = slice(wide - 110, wide)
    assert (named[tall:, score] == unnamed[tall:, score]).all()  # it is cut before it reaches the score


def test_text_is_as_wide_as_it_says() -> None:
    assert text.fitted("w" * 300, 12, 100).shape[1] <= 100
    assert text.line("wave", 12).shape[0] == text.line("空翻", 12).shape[0] == 17
    assert text.line("wave", 24).shape[1] > 1.8 * text.line("wave", 12).shape[1]


def test_an_animation_keeps_the_colours_and_repeats() -> None:
    maps = np.random.default_rng(0).random((4, 5, 5)) * 8
    whole = film(heat(maps))
    frames = [whole.frame(GREY, time) for time in (0, 1, 2, 3)]
    with Image.open(io.BytesIO(animation.gif(frames, seconds=0.2))) as read:
        assert (read.n_frames, read.info["loop"], read.info["duration"]) == (4, 0, 200)
        for number, frame in enumerate(frames):
            read.seek(number)
            shown = np.asarray(read.convert("RGB")).astype(int)
            assert np.abs(shown - frame)[: whole.frame_size[0]].mean() < 8


def page(count: int, *, heads: int = 2, blocks: int = 2, attends: bool = True) -> Sheet:
    rng = np.random.default_rng(0)
    times = [f"{number:.2f} s" for number in range(count)]
    shares = rng.random((blocks, heads, count, count)).astype(np.float32)
    return Sheet(
        title="wave: 97.0%",
        lines=("Colours show something.", "v.mp4"),
        frames=[GREY] * min(count, 16),
        captions=times[:16],
        top=8,
        bars=[Bars("share", rng.random(count), ORANGE), Bars("evidence", rng.normal(size=count), BLUE, 0.2)],
        times=times,
        attention=shares / shares.sum(-1, keepdims=True) if attends else None,
    )


@pytest.mark.parametrize("whole", [page(1, attends=False), page(20, heads=12, blocks=3)])
def test_a_sheet_shows_frames_bars_and_attention_whatever_the_title(whole: Sheet, tmp_path: Path) -> None:
    sheet.draw(replace(whole, title="空翻 \x1b[0m$x^2$" * 50), tmp_path / "look.png")
    pixels = (imread(tmp_path / "look.png")[..., :3] * 255).round().astype(int)
    assert pixels.shape[1] == 1210 and 500 < pixels.shape[0] < 2000
    shown = {f"#{r:02x}{g:02x}{b:02x}" for r, g, b in np.unique(pixels.reshape(-1, 3), axis=0)}
    assert {ORANGE, BLUE, palette.SHARES[-1]} <= shown | ({palette.SHARES[-1]} if whole.attention is None else set())
    assert list(tmp_path.iterdir()) == [tmp_path / "look.png"]


def test_frames_are_enlarged_pixel_by_pixel_and_reduced_smoothly() -> None:
    frame = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert (resized(frame, (4, 4))[1:3, 1:3] == frame).all()
    assert resized(GREY, (20, 30)).shape == (20, 30, 3) and (resized(GREY, (20, 30)) == 120).all()
    assert LUMA.sum() == pytest.approx(1)
