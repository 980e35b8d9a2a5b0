"""Frames are read as a player shows them: turned, mirrored, with square pixels, and of one size."""

from fractions import Fraction
from itertools import product
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from tests.made_videos import encode, number_of, numbered, numbers_of, write
from timesformer.video.reader import VideoError, count_decodable, info, read, read_noted

NUMBER = 0b1011001110001101
ONE = 1 << 16
MORE = Path(__file__).parents[3] / "shared" / "data" / "odd_more"
has_more = pytest.mark.skipif(not MORE.is_dir(), reason="../shared/data/odd_more is not there")


def matrix(a: float, b: float, c: float, d: float) -> list[int]:
    """A display matrix that shows the pixel at x, y at a * x + c * y, b * x + d * y."""
    return [round(a * ONE), round(b * ONE), 0, round(c * ONE), round(d * ONE), 0, 0, 0, 1 << 30]


def shown(stored: NDArray[np.uint8], a: float, b: float, c: float, d: float) -> NDArray[np.uint8]:
    """The picture that the matrix makes of stored pixels, pixel by pixel."""
    places = {
        (round(a * x + c * y), round(b * x + d * y)): stored[y, x]
        for y in range(stored.shape[0])
        for x in range(stored.shape[1])
    }
    left, top = min(x for x, _ in places), min(y for _, y in places)
    width, height = (max(place[side] for place in places) - start + 1 for side, start in enumerate((left, top)))
    return np.array([[places[left + x, top + y] for x in range(width)] for y in range(height)])


QUARTERS = [(a, 0, 0, d) for a, d in product((1, -1), (1, -1))] + [(0, b, c, 0) for b, c in product((1, -1), (1, -1))]


@pytest.mark.parametrize("turn", QUARTERS)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_every_turn_and_mirror_image_of_a_display_matrix_is_undone(
    turn: tuple[float, float, float, float], suffix: str, tmp_path: Path
) -> None:
    stored = numbered(NUMBER, (64, 48))
    path = encode(tmp_path / f"v{suffix}", [stored] * 3, [0, 0.1, 0.2], options={"crf": "5"}, matrix=matrix(*turn))
    expected = shown(stored, *turn)
    facts, frames = info(path), read_noted(path, [0, 2])
    assert (facts.height, facts.width) == expected.shape[:2]
    assert frames.notes == ()
    for frame in frames.pixels:
        assert np.abs(frame.permute(1, 2, 0).numpy().astype(int) - expected).mean() < 3
    assert count_decodable(path).error == ""


def test_a_matrix_that_also_scales_turns_all_the_same(tmp_path: Path) -> None:
    stored = numbered(NUMBER, (64, 48))
    path = encode(tmp_path / "v.mp4", [stored] * 2, [0, 0.1], matrix=matrix(0, -2, 2, 0))
    assert number_of(read(path, 0).rot90(-1, (1, 2))) == NUMBER


@pytest.mark.parametrize("angle", [30, 45, 75, 200, 3])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_turn_that_is_no_quarter_is_named(angle: float, mirrored: bool, tmp_path: Path) -> None:
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    turn = matrix(-cos if mirrored else cos, sin, sin if mirrored else -sin, cos)
    path = encode(tmp_path / "v.mp4", [numbered(0, (64, 48))] * 2, [0, 0.1], matrix=turn)
    rest = round(min(angle % 90, 90 - angle % 90))
    note = f"is to be turned by {rest} degrees beside its quarter turns, which is not done: encode it upright"
    assert info(path).notes == read_noted(path, [0]).notes == (note,)


def test_a_turn_within_rounding_and_a_matrix_of_nothing_count_as_upright(tmp_path: Path) -> None:
    for number, turn in enumerate(((1, 0.01, -0.01, 1), (0, 0, 0, 0), (1, 1, 1, 1))):
        path = encode(tmp_path / f"{number}.mp4", [numbered(NUMBER, (64, 48))] * 2, [0, 0.1], matrix=matrix(*turn))
        assert info(path).notes == ()
        assert number_of(read(path, 0)) == NUMBER


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_upright_whatever_their_exif_orientation(orientation: int, suffix: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in (1, 2):
        picture = Image.fromarray(numbered(NUMBER, (64, 48)))
        picture.save(folder / f"{number}{suffix}", exif=exif.tobytes(), quality=95)
    with Image.open(folder / f"1{suffix}") as picture:
        expected = np.array(ImageOps.exif_transpose(picture).convert("RGB")).astype(int)
    for path in (folder, folder / f"1{suffix}"):
        frame = read(path, 0)
        assert (info(path).height, info(path).width) == frame.shape[1:] == expected.shape[:2]
        assert np.abs(frame.permute(1, 2, 0).numpy() - expected).mean() < 2


@pytest.mark.parametrize("aspect", [Fraction(2), Fraction(1, 2), Fraction(64, 45), Fraction(8, 9), Fraction(0, 1)])
@pytest.mark.parametrize("name", ["v.mp4", "v.mkv", "v.ts"])
def test_pixels_are_made_square_by_the_longer_side(aspect: Fraction, name: str, tmp_path: Path) -> None:
    path = write(tmp_path / name, frames=20, aspect=aspect)
    wide = round(64 * aspect) if aspect > 1 else 64
    high = round(48 / aspect) if 0 < aspect < 1 else 48
    facts = info(path)
    assert (facts.height, facts.width, facts.notes) == (high, wide, ())
    frames = read(path, [0, 7, 19])
    assert frames.shape == (3, 3, high, wide)
    assert numbers_of(frames) == [0, 7, 19]
    assert read(path, [0], short_side=24).shape[2:] == (24 * high // min(high, wide), 24 * wide // min(high, wide))


def test_pixels_are_made_square_before_the_picture_is_turned(tmp_path: Path) -> None:
    path = write(tmp_path / "v.mp4", frames=3, size=(64, 48), rotation=90, aspect=Fraction(2))
    # stored are 48x64 wide pixels, so 96x64 square ones, which are turned
    assert (info(path).width, info(path).height) == (64, 96)
    assert numbers_of(read(path, [0, 2])) == [0, 2]


def test_pixels_that_are_square_but_for_rounding_stay_as_they_are(tmp_path: Path) -> None:
    plain, nearly = (write(tmp_path / f"{n}.mp4", frames=3, aspect=a) for n, a in enumerate((None, Fraction(224, 225))))
    assert torch.equal(read(plain, [0, 1, 2]), read(nearly, [0, 1, 2]))


def joined(path: Path, *parts: Path) -> Path:
    """Put transport streams end to end."""
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def test_frames_of_another_size_keep_their_shape_and_are_named(tmp_path: Path) -> None:
    parts = []
    for number, size in enumerate([(64, 48), (48, 64), (128, 96), (64, 48)]):
        pictures = [numbered(20 * number + each, size) for each in range(20)]
        times = [(20 * number + each) / 25 for each in range(20)]
        parts.append(encode(tmp_path / f"{number}.ts", pictures, times, fps=25, options={"g": "10", "bf": "2"}))
    path = joined(tmp_path / "joined.ts", *parts)
    assert (info(path).frames, info(path).height, info(path).width) == (80, 48, 64)
    frames = read_noted(path, range(80))
    assert numbers_of(frames.pixels[[*range(20), *range(40, 80)]]) == [*range(20), *range(40, 80)]
    tall = frames.pixels[20:40]
    assert numbers_of(tall[..., 14:50]) == list(range(20, 40))  # 36x48 in the middle
    assert not tall[..., :13].any() and not tall[..., 51:].any()
    instead = "pixels where the video begins with 64x48; they are put inside that size"
    assert frames.notes == (f"frames 20-39 have 48x64 {instead}", f"frames 40-59 have 128x96 {instead}")
    for numbers in ([25], [19, 20], [45, 3, 79]):
        assert torch.equal(read_noted(path, numbers).pixels, frames.pixels[numbers])
    assert read_noted(path, [3, 70]).notes == ()
    assert count_decodable(path).error == ""


def test_the_shape_of_pixels_may_change_on_the_way(tmp_path: Path) -> None:
    parts = [
        write(
            tmp_path / f"{number}.ts", frames=[(20 * number + each) / 25 for each in range(20)], fps=25, aspect=aspect
        )
        for number, aspect in enumerate((Fraction(2), Fraction(1)))
    ]
    path = joined(tmp_path / "joined.ts", *parts)
    frames = read_noted(path, [5, 35])
    assert frames.pixels.shape[2:] == (48, 128)
    assert numbers_of(frames.pixels[:1]) == [5]
    assert numbers_of(frames.pixels[1:, ..., 32:96]) == [15]
    assert not frames.pixels[1, ..., :31].any()
    assert frames.notes[0].startswith("frames 35 have 64x48 pixels where the video begins with 128x48")


@has_more
def test_the_mirrored_wide_and_changing_videos_of_the_field() -> None:
    frame = read(MORE / "hflip.mp4", 0).float().mean(0)
    with av.open(str(MORE / "hflip.mp4")) as container:
        stored = next(container.decode(video=0)).to_ndarray(format="gray")
    assert np.abs(frame.numpy() - stored[:, ::-1]).mean() < 10
    assert (info(MORE / "sar2.mp4").width, info(MORE / "sar2.mp4").height) == (64, 48)
    tall = read_noted(MORE / "reschange_tall.ts", [59, 60])
    assert tall.notes[0].startswith("frames 60 have 48x64 pixels")
    assert not tall.pixels[1, ..., :13].any() and tall.pixels[1, ..., 15:49].any()


def test_a_folder_of_images_of_two_sizes_is_refused_by_their_size_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(numbered(0, (64, 48))).save(tmp_path / "1.png")
    Image.fromarray(numbered(1, (64, 48))).save(tmp_path / "2.png", exif=exif.tobytes())
    with pytest.raises(VideoError, match="is 48x64 but the folder's first image 64x48"):
        read(tmp_path, [1])
