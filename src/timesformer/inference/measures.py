"""From the scores of a table's videos to the measures of its task."""

from timesformer.data.items import DataError, some
from timesformer.data.manifest import Manifest
from timesformer.inference.scoring import Scores
from timesformer.tasks import table
from timesformer.tasks.table import Measures


def measure(scores: Scores, manifest: Manifest) -> Measures:
    """The measures of the scores of a table's videos; raises :class:`DataError` where no video could be read."""
    if not scores.items:
        reasons = some([f"{key} ({reason})" for key, reason in scores.failed])
        raise DataError(f"none of the {len(scores.failed)} videos can be read: {reasons}; check the files.")
    return table.TABLE[manifest.task].measure(scores.scores, table.targets(manifest, scores.items))
