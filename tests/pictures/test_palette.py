"""The palette can be read, and be told apart by colour-blind eyes."""

import itertools

import numpy as np
import pytest

from timesformer.pictures import palette
from timesformer.pictures.palette import Colour

# Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color Vision Deficiency" (2009):
# what linear RGB looks like without one kind of cones.
BLINDNESS = {
    "none": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = TO_XYZ.sum(axis=1)


def linear(colour: str) -> np.ndarray:
    """Linear RGB between 0 and 1, from #rrggbb."""
    values = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """The contrast ratio of the Web Content Accessibility Guidelines, from 1 to 21."""
    dark, light = sorted(float(TO_XYZ[1] @ linear(colour)) for colour in (one, other))
    return (light + 0.05) / (dark + 0.05)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIELAB of linear RGB, where a distance of about 2 is just noticed."""
    share = TO_XYZ @ rgb.clip(0, 1) / WHITE
    x, y, z = np.where(share > 0.008856, np.cbrt(share), 7.787 * share + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("colour", [palette.INK, palette.SOFT, palette.GOOD, palette.BAD, *palette.SERIES])
@pytest.mark.parametrize("ground", [palette.GROUND, palette.CARD])
def test_text_of_every_colour_can_be_read(colour: Colour, ground: Colour) -> None:
    assert contrast(colour.light, ground.light) >= 4.5
    assert contrast(colour.dark, ground.dark) >= 4.5


@pytest.mark.parametrize("blindness", BLINDNESS)
@pytest.mark.parametrize("side", ["light", "dark"])
def test_series_are_told_apart_with_every_kind_of_colour_blindness(blindness: str, side: str) -> None:
    seen = [lab(np.array(BLINDNESS[blindness]) @ linear(getattr(colour, side))) for colour in palette.SERIES]
    assert min(float(np.linalg.norm(one - other)) for one, other in itertools.combinations(seen, 2)) > 40


@pytest.mark.parametrize("colour", palette.CATEGORIES)
def test_points_of_every_class_stand_out_from_the_ground(colour: Colour) -> None:
    for ground in (palette.GROUND, palette.CARD):
        assert contrast(colour.light, ground.light) >= 3 and contrast(colour.dark, ground.dark) >= 3


def test_larger_shares_are_darker() -> None:
    lightness = [float(lab(linear(colour))[0]) for colour in palette.SHARES]
    assert (np.diff(lightness) < -15).all()
