"""Detect whether foreign weights are a video model or an image model, and read the settings stored beside them."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from timesformer.weights.formats import layouts, settings
from timesformer.weights.formats.files import Raw
from timesformer.weights.formats.images import names
from timesformer.weights.formats.images.names import ImageLayout
from timesformer.weights.formats.layouts import Layout
from timesformer.weights.formats.settings import Settings


def is_image(raw: Raw, tensors: Mapping[str, Tensor], layout: Layout | ImageLayout) -> bool:
    """Whether weights are an image model's.

    A TimeSformer has temporal parts, or, for the space scheme, typical metadata. Wrappers such as "state_dict" and
    "model." prove nothing, since image models have them too.
    """
    if layout in names.PATTERNS:
        return True
    if layout == "huggingface" or layouts.infer_scheme(tensors, layout) != "space":  # type: ignore[arg-type]
        return False
    if layout == "official":
        cfg = raw.beside.get("cfg")
        official = raw.held is not None and "model_state" in raw.held.keys
        return not official and not (isinstance(cfg, str) and "TIMESFORMER" in cfg)
    meta = raw.beside.get("meta")
    texts = [text for text in meta.values() if isinstance(text, str)] if isinstance(meta, dict) else []
    headed = any(name.startswith("cls_head.") for name in tensors)
    return not headed and not any("TimeSformer" in text for text in texts)


def stated(raw: Raw, layout: Layout) -> Settings:
    """Return the settings stored beside a video model's tensors."""
    if layout == "huggingface":
        return settings.from_hugging_face(raw.config, raw.processor, str(raw.path))
    if layout == "mmaction2":
        return Settings(clip={"mean": [0.5] * 3, "std": [0.5] * 3, "rate": 32}, labels=_meta_labels(raw.beside))
    text = raw.beside.get("cfg")
    if isinstance(text, str):
        return settings.from_cfg(text, str(raw.path))
    return Settings(notes=("no cfg text: settings inferred from the tensors",))


def _meta_labels(beside: Mapping[Any, Any]) -> tuple[str, ...]:
    """Return the class names in the metadata of an MMAction2 file, if there are any."""
    meta = beside.get("meta")
    if not isinstance(meta, dict):
        return ()
    inner = meta.get("dataset_meta")
    classes = inner.get("classes") if isinstance(inner, dict) else meta.get("CLASSES")
    if isinstance(classes, list | tuple) and all(isinstance(name, str) for name in classes):
        return tuple(classes)
    return ()
