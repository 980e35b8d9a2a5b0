"""Upper limits of the size of clips and models: far above today's models, yet within a machine's memory.

Configs also come from untrusted files, so a size that fits no memory is refused before anything is allocated.
"""

from timesformer.config.checks import in_pixels, require, sides

FRAMES, SIDE = 2**16, 2**14
"""Largest number of frames in a clip, and largest side of a frame in pixels."""
CLIP_PIXELS, TOKENS, PARAMETERS = 2**31, 2**24, 10**11
"""Largest number of pixels in a clip, of patches in a clip, and of parameters in a model."""


def check_clip(frames: int, size: int | tuple[int, int]) -> None:
    """Raise :class:`ConfigError` for a clip that fits no memory."""
    height, width = sides(size)
    require(
        max(height, width) <= SIDE and frames * height * width <= CLIP_PIXELS,
        f"clips are {frames} frames of {in_pixels(size)}; at most {SIDE:,} px a side and {CLIP_PIXELS:,} px a clip "
        "are supported: choose fewer or smaller frames.",
    )


def check_tokens(frames: int, size: int | tuple[int, int], patch: int) -> None:
    """Raise :class:`ConfigError` for more patches than attention can handle."""
    height, width = sides(size)
    count = frames * (height // patch) * (width // patch)
    require(
        count <= TOKENS,
        f"{frames} frames of {in_pixels(size)} are {count:,} patches of {patch} px; at most {TOKENS:,} are "
        "supported: choose fewer or smaller frames, or larger patches.",
    )


def check_parameters(*, width: int, depth: int, mlp_ratio: float, rest: int) -> None:
    """Raise :class:`ConfigError` for a model that fits no memory; ``rest`` counts parameters outside the blocks."""
    count = (
        int(depth * width**2 * (4 + 2 * mlp_ratio)) + rest
    )  # with one attention step per block; three steps have 2.3 times as many
    require(
        count <= PARAMETERS,
        f"a model of width {width} and depth {depth} with these patches, frames and classes has at least {count:,} "
        f"parameters; at most {PARAMETERS:,} are supported: choose a smaller one.",
    )


def check_normalisation(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    """Raise :class:`ConfigError` for means and standard deviations that can't be those of pixels between 0 and 1."""
    remedy = "for pixels between 0 and 1: divide values for 0 to 255 by 255"
    require(
        all(0 <= value <= 1 for value in mean),
        f"mean is {mean}; every channel must lie between 0 and 1, {remedy}.",
    )
    require(
        all(0.001 <= value <= 1 for value in std),
        f"std is {std}; every channel must be above 0, from 0.001 to 1, {remedy}.",
    )
