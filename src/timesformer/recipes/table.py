"""The table of all recipes, by name."""

import difflib

from timesformer.config.checks import ConfigError
from timesformer.recipes.paper import PAPER
from timesformer.recipes.recipe import Recipe
from timesformer.recipes.small import SMALL
from timesformer.recipes.today import TODAY

RECIPES: dict[str, Recipe] = {entry.name: entry for entry in (*PAPER, *TODAY, *SMALL)}
"""All recipes by name, in the order of the paper; those of the divided scheme are k400-base and ssv2-base."""


def recipe(name: str) -> Recipe:
    """Return the recipe of a name; raises :class:`ConfigError` with similar names for an unknown one."""
    if name in RECIPES:
        return RECIPES[name]
    near = difflib.get_close_matches(name, RECIPES, n=3, cutoff=0.5)
    remedy = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(RECIPES)}."
    raise ConfigError(f"recipe {name!r} is unknown; {remedy}")
