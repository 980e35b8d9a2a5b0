"""Why settings were chosen, in words."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """Why settings were chosen."""

    text: str
    settings: tuple[str, ...] = ()
    """Their dotted names; the reason is not shown if the user names one of them."""
