"""Whether training clips are mirrored, and which classes that exchanges, as class names or the user say."""

import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from timesformer.config.tasks import FACTS
from timesformer.config.training import AugmentConfig, TrainConfig
from timesformer.data.batches.opposites import partners
from timesformer.data.items import some
from timesformer.data.manifest import Manifest
from timesformer.training.choose.reason import Reason
from timesformer.training.choose.sides import mirror_pairs, speaking_of_sides

PAIRED = ("augment.flip", "augment.mirror_labels")


def implied(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What else follows where only one setting of mirroring is named: pairs need it, and without it they go."""
    flip, pairs = settings.get("augment.flip"), settings.get("augment.mirror_labels")
    if pairs and flip is None:
        return {"augment.flip": True}
    return {"augment.mirror_labels": ()} if flip is False and pairs is None else {}


def chosen(
    augment: AugmentConfig, manifest: Manifest, named: Mapping[str, Any], reasons: list[Reason]
) -> AugmentConfig:
    """The settings with mirroring decided, by what the user names (dotted) or what class names say.

    Pairs of classes are found and proposed, not chosen: in trainings as short as the usual ones, mirrored clips with
    the other label can cost accuracy (docs/few_clips.md).

    Adds the reason for a choice to ``reasons``.
    """
    flip, given = named.get("augment.flip"), named.get("augment.mirror_labels")
    if given or flip is False:
        return replace(augment, flip=bool(given), mirror_labels=tuple(given or ()))
    numeric = FACTS[manifest.task].numeric
    found = [] if numeric or given is not None else mirror_pairs(manifest.labels)
    pairs, paired = tuple(map("=".join, found)), {name for pair in found for name in pair}
    sides = [name for name in speaking_of_sides(manifest.labels) if name not in paired]
    flips = flip or not (sides or numeric or pairs)
    if not flips and pairs and not sides:
        text = f"no mirroring: {found[0][0]!r} is the mirror image of {found[0][1]!r} (for longer trainings, mirrored "
        named_pairs = " ".join(map(shlex.quote, pairs))
        reasons.append(Reason(f"{text}clips with the other label: --augment.mirror-labels {named_pairs})", PAIRED))
    elif not flips:
        text = f"no mirroring: {sides[0] if sides else 'a number'!r} may depend on the side"
        other = " and no class is its mirror image" if pairs else ""
        reasons.append(Reason(f"{text}{other} (--augment.flip to allow)", ("augment.flip",)))
    elif pairs:
        text = f"half of the clips mirrored, and labelled as the other side's class: {some(list(pairs), 8)}"
        reasons.append(Reason(f"{text} (--augment.no-flip to forbid)"))
    else:
        text = "half of the clips mirrored: no class name speaks of sides (--augment.no-flip to forbid)"
        reasons.append(Reason(text, ("augment.flip",)))
    return replace(augment, flip=flips, mirror_labels=pairs if flips else ())


def notes(manifest: Manifest, config: TrainConfig) -> list[Reason]:
    """A note on a class that speaks of a side and keeps its label in mirrored clips."""
    if not config.augment.flip:
        return []
    paired = partners(config.augment.mirror_labels, manifest.labels, "mirror_labels")
    sides = [name for name in speaking_of_sides(manifest.labels) if manifest.labels.index(name) not in paired]
    if not sides:
        return []
    text = f"half of the clips mirrored although {sides[0]!r} may depend on the side"
    lost = [f"{one}={other}" for one, other in mirror_pairs(manifest.labels) if {one, other} <= set(sides)]
    pairs = " ".join(map(shlex.quote, (*config.augment.mirror_labels, *lost)))
    hint = f"; --augment.mirror-labels {pairs} to change labels with it" if lost else ""
    return [Reason(f"{text} (--augment.no-flip to forbid{hint})", () if lost else ("augment.flip",))]
