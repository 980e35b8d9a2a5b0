"""How large a clip and a model may be: far beyond what is trained today, and within what a machine could hold.

Configs come from files and from strangers; what no memory holds is refused by its numbers, before anything is built.
"""

from timesformer.config.checks import in_pixels, require, sides

FRAMES, SIDE = 2**16, 2**14
"""Most frames of a clip, and most pixels along a side of a frame."""
CLIP_PIXELS, TOKENS, PARAMETERS = 2**31, 2**24, 10**11
"""Most pixels of a clip, most patches of a clip, and most numbers that a model learns."""


def check_clip(frames: int, size: int | tuple[int, int]) -> None:
    """Raise :class:`ConfigError` for a clip that no memory holds."""
    height, width = sides(size)
    require(
        max(height, width) <= SIDE and frames * height * width <= CLIP_PIXELS,
        f"clips are {frames} frames of {in_pixels(size)}; at most {SIDE:,} px a side and {CLIP_PIXELS:,} px a clip "
        "can be held: choose fewer or smaller frames.",
    )


def check_tokens(frames: int, size: int | tuple[int, int], patch: int) -> None:
    """Raise :class:`ConfigError` for more patches than attention can go over."""
    height, width = sides(size)
    count = frames * (height // patch) * (width // patch)
    require(
        count <= TOKENS,
        f"{frames} frames of {in_pixels(size)} are {count:,} patches of {patch} px; at most {TOKENS:,} can be "
        "computed: choose fewer or smaller frames, or larger patches.",
    )


def check_parameters(*, width: int, depth: int, mlp_ratio: float, rest: int) -> None:
    """Raise :class:`ConfigError` for a model that no memory holds; ``rest`` is beside the blocks."""
    count = int(depth * width**2 * (4 + 2 * mlp_ratio)) + rest  # blocks of one attention; those of three have 2.3 times
    require(
        count <= PARAMETERS,
        f"a model of width {width} and depth {depth} with these patches, frames and classes learns at least {count:,} "
        f"numbers; at most {PARAMETERS:,} can be held: choose a smaller one.",
    )


def check_normalisation(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    """Raise :class:`ConfigError` for means and deviations that aren't those of pixels 0 to 1."""
    remedy = "for pixels between 0 and 1: divide values for 0 to 255 by 255"
    require(
        all(0 <= value <= 1 for value in mean),
        f"mean is {mean}; every channel must lie between 0 and 1, {remedy}.",
    )
    require(
        all(0.001 <= value <= 1 for value in std),
        f"std is {std}; every channel must be above 0, from 0.001 to 1, {remedy}.",
    )
