"""What lies beside foreign tensors says what they are: a video model or one of images, and its settings."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from timesformer.weights.formats import convert, settings
from timesformer.weights.formats.convert import Layout
from timesformer.weights.formats.files import Raw
from timesformer.weights.formats.settings import Settings


def is_video(raw: Raw, tensors: Mapping[str, Tensor], layout: Layout) -> bool:
    """Whether weights show signs of a TimeSformer: parts for time, or, of the space scheme, what it is saved with.

    What wraps them is no sign: any training may put an image model under "state_dict" and "model.".
    """
    if layout == "huggingface" or convert.infer_scheme(tensors, layout) != "space":
        return True
    if layout == "official":
        cfg = raw.beside.get("cfg")
        official = raw.held is not None and "model_state" in raw.held.keys
        return official or (isinstance(cfg, str) and "TIMESFORMER" in cfg)
    meta = raw.beside.get("meta")
    texts = [text for text in meta.values() if isinstance(text, str)] if isinstance(meta, dict) else []
    return any(name.startswith("cls_head.") for name in tensors) or any("TimeSformer" in text for text in texts)


def stated(raw: Raw, layout: Layout) -> Settings:
    """Everything that lies beside a video model's tensors and says something about them."""
    if layout == "huggingface":
        return settings.from_hugging_face(raw.config, raw.processor, str(raw.path))
    if layout == "mmaction2":
        return Settings(clip={"mean": [0.5] * 3, "std": [0.5] * 3, "rate": 32}, labels=_meta_labels(raw.beside))
    text = raw.beside.get("cfg")
    if isinstance(text, str):
        return settings.from_cfg(text, str(raw.path))
    return Settings(notes=("no cfg text: settings inferred from the tensors",))


def _meta_labels(beside: Mapping[Any, Any]) -> tuple[str, ...]:
    """Class names in an MMAction2 file's meta, where it has them."""
    meta = beside.get("meta")
    if not isinstance(meta, dict):
        return ()
    inner = meta.get("dataset_meta")
    names = inner.get("classes") if isinstance(inner, dict) else meta.get("CLASSES")
    if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names):
        return tuple(names)
    return ()
