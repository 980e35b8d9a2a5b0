"""What a config checks itself with, and sizes of frames as they may be given."""


class ConfigError(ValueError):
    """A setting that can't work: the message says the value, the rule and the remedy."""


def require(condition: bool, message: str) -> None:
    """Raise :class:`ConfigError` with ``message`` unless ``condition`` holds."""
    if not condition:
        raise ConfigError(message)


def sides(size: int | tuple[int, int]) -> tuple[int, int]:
    """Height and width in pixels of a size; one number is a square's side."""
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def in_pixels(size: int | tuple[int, int]) -> str:
    """A size in words: "224 px", or height and width, "224 x 398 px"."""
    height, width = sides(size)
    return f"{height} px" if height == width else f"{height} x {width} px"


def at_least(least: int, config: object, *names: str) -> None:
    """Raise :class:`ConfigError` for a field that is no finite number of at least ``least``."""
    for name in names:
        value = getattr(config, name)
        require(least <= value < float("inf"), f"{name} is {value}; it must be at least {least}.")
