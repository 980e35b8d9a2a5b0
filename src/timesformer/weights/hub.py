"""Save, push and load checkpoints on the Hugging Face hub, by huggingface_hub's mixin.

The folder is in the format of transformers where that can express the model, and else holds our own file;
``timesformer.load`` reads both, from disk and from the hub. Needs the extra ``hub``.
"""

import json
from pathlib import Path
from typing import Any

from timesformer import atomic
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

    ``licence`` is written to the model card in the hub's spelling, such as "cc-by-nc-4.0"; without it, none is stated.
    """

    _hub_mixin_config: dict[str, Any] = {}  # noqa: RUF012
    """Set so that the mixin doesn't write the arguments of :meth:`__init__` as a configuration."""

    def __init__(self, checkpoint: Checkpoint, *, licence: str | None = None) -> None:
        self.checkpoint = checkpoint
        self.licence = licence

    def generate_model_card(self) -> ModelCard:
        """Return the model card: origin, labels and clip settings of the weights, and how to load them."""
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
        with atomic.replacing(save_directory / "config.json", WeightsError) as temporary:
            temporary.write_text(metadata.dumps(shown, indent=2), encoding="utf-8")

    @classmethod
    def _from_pretrained(cls, *, model_id: str, **download: Any) -> "HubCheckpoint":
        patterns = ["*.json", "*.safetensors"]
        folder = (
            model_id if Path(model_id).is_dir() else snapshot_download(model_id, allow_patterns=patterns, **download)
        )
        return cls(loading.load(Path(folder)))
