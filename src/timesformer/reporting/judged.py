"""What to keep in mind when reading a report's numbers, in sentences."""

from collections.abc import Sequence

from timesformer.config.tasks import FACTS
from timesformer.data.items import counted, some
from timesformer.reporting.findings import Findings
from timesformer.reporting.source import Source
from timesformer.training.run.validated import Validated

WIDE = 0.2
"""Width of an interval of a share from which it is said to be wide."""
FEW = 10
"""Videos of a class below which its own number says little."""


def cautions(
    source: Source,
    split: str,
    seen: Validated | None,
    findings: Findings | None,
    *,
    failed: Sequence[tuple[str, str]],
) -> tuple[str, ...]:
    """What to keep in mind, the most important first."""
    if seen is None or findings is None:
        why = "its data can't be read any more" if source.gone else "no video could be read"
        return (f"There are no scores: the run kept none, and {why}. Name the data with --data.",)
    lines = []
    first = findings.measured[0]
    interval = first.interval
    if first.share and findings.floor is not None and interval.low <= findings.floor:
        lines.append(
            f"It isn't clear that the model does better than one answer for all videos ({findings.floor:.1%}): the "
            f"interval of its {first.name} begins at {interval.low:.1%}."
        )
    if split == "val" and len(source.rows) > 1:
        other = "; `--split test` measures others" if source.table and "test" in source.table.splits else ""
        lines.append(
            "The best epoch was chosen on these videos, so on new ones expect somewhat less, the more so the fewer "
            f"videos there are{other}."
        )
    if first.share and interval.high - interval.low > WIDE:
        unit = "groups" if _grouped(seen) else "videos"
        lines.append(f"The interval is wide because there are {findings.units} {unit}; more would narrow it.")
    if _grouped(seen):
        lines.append(f"Intervals resample the {findings.units} groups, as videos of a group are alike.")
    lines += _classes(findings, seen, source)
    if failed:
        names = some([f"{key} ({reason})" for key, reason in failed])
        lines.append(f"{counted(len(failed), 'video')} could not be read and are left out: {names}.")
    if source.run.broken.exists():
        lines.append(f"Broken or damaged videos of the training are listed in {source.run.broken.name}.")
    if len(source.rows) < source.config.optim.epochs:
        lines.append("The training has not ended: the learning rate has not reached its end.")
    return tuple(lines)


def _grouped(seen: Validated) -> bool:
    return any(unit.startswith("group ") for unit in seen.units)


def _classes(findings: Findings, seen: Validated, source: Source) -> list[str]:
    if not FACTS[source.checkpoint.task].exclusive:
        return []
    counts = [int((seen.targets == number).sum()) for number in range(len(source.checkpoint.labels))]
    few = [name for name, count in zip(source.checkpoint.labels, counts, strict=True) if 0 < count < FEW]
    none = [name for name, count in zip(source.checkpoint.labels, counts, strict=True) if not count]
    lines = [f"No video shows {some(none)}."] if none else []
    return lines + ([f"Fewer than {FEW} videos show {some(few)}: their own numbers say little."] if few else [])
