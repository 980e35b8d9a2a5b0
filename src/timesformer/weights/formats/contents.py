"""Find the models in a file of weights by their tensors' names, under any keys and prefixes."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from timesformer.weights.formats.images import names as image_names
from timesformer.weights.formats.images import refused
from timesformer.weights.formats.images.names import ImageLayout
from timesformer.weights.formats.layouts import Layout
from timesformer.weights.report import WeightsError

PATTERNS: dict[Layout, tuple[str, str]] = {
    "huggingface": (
        "timesformer.",
        r"encoder\.layer\.\d{1,18}\.(?:attention\.attention\.qkv|temporal_)",
    ),
    "mmaction2": ("backbone.", r"transformer_layers\.layers\.\d{1,18}\."),
    "official": ("", r"blocks\.(?:\d{1,18}\.){1,2}(?:norm[12]|attn|mlp|temporal_norm1|temporal_attn|temporal_fc)\."),
}
"""Prefix of a layout's names, and the pattern of its block names."""
TRUNK = re.compile(r"(?:^|(?<=\.))(?:cls_token|pos_embed|patch_embed|embeddings)(?:\.|$)")
"""Tensors of a vision transformer outside its blocks."""
WRAPPERS = ("model_state", "state_dict", "model")
"""Usual keys of a state dict, in order of preference."""
SECOND = ("student", "ema", "momentum", "target", "shadow", "avg", "average", "averaged", "swa")
RANKS = {"teacher": 1, **dict.fromkeys(SECOND, 2), "text": 3, "decoder": 3}
"""Words in a model's name that lower its preference; of DINO's two models, the teacher is taken."""
INSERTED = re.compile(r"(?:^|(?<=\.))(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""Parts that torch.compile, FSDP and gradient checkpointing add to names."""
ADAPTER = re.compile(r"^base_model\.model\.|\.(?:lora_\w+|base_layer|modules_to_save|ia3_l)(?:\.|$)")
"""Parts that peft adds to names."""
DEEPEST, MOST = 4, 64
"""Deepest level of nested dicts, and largest number of models in a file, that are considered."""


@dataclass(frozen=True)
class Held:
    """A model in a file."""

    keys: tuple[str, ...]
    """The keys of the nested dicts that contain it."""
    prefix: str
    """Prefix of its tensors' names."""
    layout: Layout | ImageLayout
    notes: tuple[str, ...] = ()
    """Notes on the choice, where the file holds several models."""

    @property
    def name(self) -> str:
        """Its keys and prefix, as selected by ``key``; empty where the file is the model itself."""
        return ".".join((*self.keys, self.prefix)).strip(".")

    @property
    def rank(self) -> tuple[int, int, bool]:
        """Sort key; the model with the lowest rank is taken."""
        words = re.split(r"[\W_]+", self.name.lower())
        wrapper = self.keys[-1] if self.keys else ""
        known = WRAPPERS.index(wrapper) if wrapper in WRAPPERS else len(WRAPPERS)
        return max(RANKS.get(word, 0) for word in words), known, bool(self.prefix)


def choose(content: dict[Any, Any], source: str, key: str = "") -> Held:
    """Choose a model of a file: the one that ``key`` names, or the one with the lowest rank.

    Raises :class:`WeightsError` where no tensors have names of a known layout, where they are an adapter's or of an
    architecture that can't be expressed, where no model is named ``key``, and where the choice is ambiguous.
    """
    found = [held for keys, names in _state_dicts(content) for held in _models(keys, names)][:MOST]
    if not found:
        raise WeightsError(_nothing(content, source))
    wanted = _named(found, key) if key else found
    names = ", ".join(f"{held.name:.80}" or "(no name)" for held in found)
    if not wanted:
        raise WeightsError(f"{source} holds no model named {key!r:.80}; it holds {names}: name one of these (--key).")
    first, *others = sorted(wanted, key=lambda held: held.rank)
    if others and others[0].rank == first.rank:
        raise WeightsError(f"{source} holds several models: {names}; say which one: key=NAME (--key NAME).")
    left = [f"{held.name:.80}" for held in found if held is not first and held.name]
    note = f"{first.name or 'the model without a prefix'} taken; the file also holds {', '.join(left[:10])}: key=NAME "
    notes = (f"{note}(--key NAME) takes another",) if left else ()
    return Held(first.keys, first.prefix, first.layout, notes)


def inside(content: dict[Any, Any], keys: Iterable[str]) -> dict[Any, Any]:
    """Return the dict under nested keys."""
    found = content
    for key in keys:
        found = next(value for name, value in dict.items(found) if str(name) == key and isinstance(value, dict))
    return dict(dict.items(found))


def beside(content: dict[Any, Any], keys: tuple[str, ...]) -> dict[Any, Any]:
    """Return all other entries of the dicts along the keys."""
    found: dict[Any, Any] = {}
    for depth, key in enumerate(keys):
        found |= {name: value for name, value in inside(content, keys[:depth]).items() if str(name) != key}
    return found


def is_tensor(value: object) -> bool:
    """Whether a value is a dense tensor on the CPU."""
    return isinstance(value, Tensor) and value.layout is torch.strided and value.device.type == "cpu"


def tensors_of(content: dict[Any, Any]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return the tensors in a dict, and the names of its other entries."""
    tensors = {name: value for name, value in content.items() if isinstance(name, str) and is_tensor(value)}
    return tensors, tuple(f"{name!s:.80}" for name in content if name not in tensors)


def plain(tensors: Mapping[str, Tensor], held: Held, source: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return a model's tensors under its layout's plain names, and the mapping from plain to original names.

    Raises :class:`WeightsError` where the model contains an unmerged adapter, or two tensors have the same plain name.
    """
    # Names of image models are translated later, without a prefix
    trunk, pattern = next((pair for layout, pair in PATTERNS.items() if layout == held.layout), ("", ""))
    start = re.compile(re.escape(trunk) + pattern)
    short = {name: INSERTED.sub("", name) for name in tensors}
    mine = {name: text.removeprefix(held.prefix) for name, text in short.items() if text.startswith(held.prefix)}
    if any(ADAPTER.search(name) for name in mine):
        raise WeightsError(adapter(source, unmerged=True))
    bare = not any(start.match(text) for text in mine.values())
    own = {f"{trunk}{text}" if bare else text: name for name, text in mine.items()}
    if len(own) < len(mine):
        raise WeightsError(
            f"{source} has two tensors of the same name once wrappers are removed; save the unwrapped model."
        )
    return {text: tensors[name] for text, name in own.items()}, own


def adapter(source: str, base: str = "", *, unmerged: bool = False) -> str:
    """Return the message for an adapter, alone or ``unmerged`` in a model, with how to merge it."""
    what = f"it holds only the changes to a model{f', {base:.80},' if base else ''} and not the model"
    if unmerged:
        what = "its weights are stored beside those of the model and not merged"
    return (
        f"{source} is a peft adapter: {what}. Merge it where it was made: merged = "
        "PeftModel.from_pretrained(base_model, ADAPTER_FOLDER).merge_and_unload(), then merged.save_pretrained(FOLDER) "
        "or torch.save(merged.state_dict(), FILE), and load that."
    )


def _state_dicts(content: dict[Any, Any]) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Yield every dict with tensors, as its keys and tensor names, except those of optimisers."""
    seen: set[int] = set()
    waiting: list[tuple[tuple[str, ...], Any]] = [((), content)]
    while waiting:
        keys, current = waiting.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        entries = list(dict.items(current))
        names = [name for name, value in entries if isinstance(name, str) and isinstance(value, Tensor)]
        if names:
            yield keys, names
        if len(keys) < DEEPEST:
            inner = ((name, value) for name, value in entries if isinstance(value, dict))
            waiting += [((*keys, str(name)), value) for name, value in inner if "optim" not in str(name).lower()]


def _models(keys: tuple[str, ...], names: Collection[str]) -> Iterator[Held]:
    """Yield the models with these tensor names: a layout's blocks and the other parts of a vision transformer."""
    short = [INSERTED.sub("", name) for name in names]
    trunks = {name[: found.start()] for name in short if (found := TRUNK.search(name))}
    for layout, (trunk, pattern) in PATTERNS.items():
        block = re.compile(rf"(?:^|(?<=\.)){pattern}")
        heads = dict.fromkeys(name[: found.start()] for name in short if (found := block.search(name)))
        for head in heads:
            if head in trunks:
                yield Held(keys, head.removesuffix(trunk), layout)
    for image, (token, pattern) in image_names.PATTERNS.items():
        first = re.compile(rf"(?:^|(?<=\.)){token}")
        tokens = {name[: found.start()] for name in short if (found := first.search(name))}
        block = re.compile(rf"(?:^|(?<=\.)){pattern}")
        for head in dict.fromkeys(name[: found.start()] for name in short if (found := block.search(name))):
            if head in tokens:
                yield Held(keys, image_names.WITH_HEAD.sub("", head), image)


def _named(found: Iterable[Held], key: str) -> list[Held]:
    """Return the models with a name, key or prefix equal to ``key``, or else those that contain it."""
    found, key = list(found), key.strip(".")
    exact = [held for held in found if key in (held.name, ".".join(held.keys), held.prefix.strip("."))]
    return exact or [held for held in found if f".{key}." in f".{held.name}."]


def _nothing(content: dict[Any, Any], source: str) -> str:
    """Return the message for a file without a model."""
    dicts = list(_state_dicts(content))
    names = [name for _, some in dicts for name in some]
    keys = ", ".join(f"{name!s:.60}" for name in list(dict.keys(content))[:10])
    if any(ADAPTER.search(name) for name in names):
        return adapter(source)
    if not names:
        return (
            f"{source} holds a dict without model_state, state_dict or model in it (its keys: {keys or 'none'}); "
            "give a file with a state dict."
        )
    few = ", ".join(f"{name:.60}" for name in names[:3])
    under = f", under the keys {keys}" if dicts[0][0] else ""
    if any(re.search(r"blocks\.\d+\.steps\.", name) for name in names):
        return (
            f"{source} has tensor names of no known layout ({few}{under}): they are timesformer's own without their "
            "description; load the .safetensors file of that training, or save one with timesformer.save."
        )
    refused.by_names(names, source)
    return (
        f"{source} has tensor names of no known layout ({few}{under}); known are timesformer's own files, official "
        ".pyth, Hugging Face, MMAction2, and image transformers of timm, transformers, OpenCLIP and the JAX release."
    )
