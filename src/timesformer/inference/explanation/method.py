"""The ways to find out where a model looked, and what pictures say of each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Method = Literal["gradient", "rollout"]


@dataclass(frozen=True)
class Meaning:
    """What the colours mean."""

    short: str
    """In a few words, for a film."""
    plain: str
    """For a terminal."""
    long: str
    """In sentences."""


MEANINGS: Mapping[Method, Meaning] = {
    "gradient": Meaning(
        "colour: what speaks for this class",
        "the share of a frame in what speaks for this class (attention, half of it weighted by the class's gradient)",
        "Colours show which places speak for this class: attention, half of it weighted by the class's gradient. What "
        "speaks against it is not shown.",
    ),
    "rollout": Meaning(
        "colour: where attention reads, for any class",
        "the share of a frame in what attention brings to the class token; the same for every class",
        "Colours show from which places attention brings information to the class token. They are the same for every "
        "class.",
    ),
}
"""What the colours of each method mean."""
