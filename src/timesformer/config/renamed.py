"""Fields by the names of earlier versions, which files and flags may still use."""

from collections.abc import Mapping

from timesformer.config.checks import require

RENAMED: dict[str, dict[str, str]] = {
    "ModelConfig": {"start": "weight_init"},
    "AugmentConfig": {"inverse": "inverse_jitter"},
    "Description": {"units": "target_stats"},
}
"""For each dataclass that is written to files: the old name of a field, and the name that it has now."""
FLAGS = {"model.start": "model.weight_init", "augment.inverse": "augment.inverse_jitter"}
"""Old dotted names of a training's settings, as flags and as keyword arguments give them."""


def current(kind: type, table: Mapping[str, object]) -> dict[str, object]:
    """The values of a parsed file under today's names of the fields of ``kind``.

    Raises :class:`ConfigError` where a field is given under both of its names.
    """
    names = RENAMED.get(kind.__name__, {})
    for old, new in names.items():
        require(
            not (old in table and new in table), f"{old} is the old name of {new}, and both are given; remove {old}."
        )
    return {names.get(name, name): value for name, value in table.items()}
