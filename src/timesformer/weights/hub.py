"""Checkpoints for the Hugging Face hub, by huggingface_hub's own mixin: saved as a folder, pushed, and loaded again.

The folder is one for transformers where it can express the model, and else holds our own file; ``timesformer.load``
reads both, where they lie and by their name on the hub. Needs the extra ``hub``.
"""

import json
from pathlib import Path
from typing import Any

from timesformer.config.tasks import FACTS
from timesformer.weights import card, loading, metadata
from timesformer.weights.checkpoint import Checkpoint, describe, save
from timesformer.weights.formats import settings, writing
from timesformer.weights.report import WeightsError

try:
    from huggingface_hub import ModelCard, ModelCardData, ModelHubMixin, snapshot_download
except ImportError as error:
    raise WeightsError("the Hugging Face hub needs huggingface_hub: pip install 'timesformer[hub]'.") from error


class HubCheckpoint(ModelHubMixin):
    """A checkpoint with the mixin's ``save_pretrained``, ``push_to_hub`` and ``from_pretrained``.

    ``licence`` goes into the model card as the hub spells it, such as "cc-by-nc-4.0"; none is stated without it.
    """

    _hub_mixin_config: dict[str, Any] = {}  # noqa: RUF012
    """Set, so that the mixin doesn't take the arguments of :meth:`__init__` for a configuration to write."""

    def __init__(self, checkpoint: Checkpoint, *, licence: str | None = None) -> None:
        self.checkpoint = checkpoint
        self.licence = licence

    def generate_model_card(self) -> ModelCard:
        """What the hub's page says: where the weights come from, their labels and clips, how to load them."""
        data = ModelCardData(
            license=self.licence,
            library_name="timesformer" if self._native else "transformers",
            pipeline_tag=None if FACTS[self.checkpoint.task].numeric else "video-classification",
            tags=["timesformer", "video"],
        )
        return ModelCard(f"---\n{data.to_yaml()}\n---\n\n{card.text(self.checkpoint, transformers=not self._native)}")

    @property
    def _native(self) -> bool:
        return bool(writing.obstacle(self.checkpoint, "huggingface"))

    def _save_pretrained(self, save_directory: Path) -> None:
        if not self._native:
            writing.write_folder(self.checkpoint, save_directory)
            return
        save(self.checkpoint, save_directory / "model.safetensors")
        shown = {settings.DESCRIPTION: json.loads(metadata.to_json(describe(self.checkpoint)))}
        (save_directory / "config.json").write_text(metadata.dumps(shown, indent=2), encoding="utf-8")

    @classmethod
    def _from_pretrained(cls, *, model_id: str, **download: Any) -> "HubCheckpoint":
        patterns = ["*.json", "*.safetensors"]
        folder = (
            model_id if Path(model_id).is_dir() else snapshot_download(model_id, allow_patterns=patterns, **download)
        )
        return cls(loading.load(Path(folder)))
