"""Published checkpoints by name: training data, accuracy, licence, and where to download them."""

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from timesformer import cache
from timesformer.config.model import ClipConfig, Scheme
from timesformer.weights import image_models
from timesformer.weights.formats.clips import usual_clip

OFFICIAL_PAGE = "https://github.com/facebookresearch/TimeSformer#model-zoo"
OFFICIAL_LICENCE = "CC-BY-NC 4.0 (no commercial use)"
MMACTION_PAGE = "https://github.com/open-mmlab/mmaction2/tree/main/configs/recognition/timesformer"
MMACTION_LICENCE = "Apache 2.0"
MMACTION_FILES = "https://download.openmmlab.com/mmaction/v1.0/recognition/timesformer"
MAKERS = (
    ("k400-*, k600-*, ssv2-*, howto100m-*", OFFICIAL_PAGE, OFFICIAL_LICENCE),
    ("mmaction2-*", MMACTION_PAGE, MMACTION_LICENCE),
)
"""Names, page and licence of each publisher."""


@dataclass(frozen=True)
class Published:
    """A published checkpoint, with the accuracy stated by its publisher."""

    name: str
    data: str
    """Training data set."""
    scheme: Scheme
    frames: int
    size: int
    classes: int
    top1: float
    """Published top-1 accuracy in percent with three crops (HowTo100M: all clips of a video)."""
    top5: float | None
    file: str
    """Name of the downloaded file."""
    page: str
    """Where to download the file."""
    licence: str
    hub: str = ""
    """Repository on the Hugging Face hub with a converted copy of the weights; empty if none is known."""
    made_by: Literal["official", "mmaction2"] = "official"

    @property
    def clip(self) -> ClipConfig:
        """Its clip settings."""
        if self.made_by == "mmaction2":
            return ClipConfig(frames=self.frames, size=self.size, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
        dataset = {"Something-Something-V2": "ssv2", "HowTo100M": "howto100m"}.get(self.data, "")
        return usual_clip(self.frames, self.size, dataset)

    @property
    def about(self) -> str:
        """Origin and licence in a sentence."""
        return f"{self.name}: {self.made_by} weights, {self.data}, {self.page}; licence {self.licence}."

    @property
    def downloaded(self) -> Path | None:
        """Where the file is looked for: in the cache folder, or nowhere if there is none."""
        folder = cache.folder()
        return folder / self.file if folder else None

    @property
    def place(self) -> str:
        """Where to put the file by hand, as a user reads it."""
        return str(self.downloaded or "any folder, and name the file instead (TIMESFORMER_CACHE names no cache folder)")

    @property
    def cut(self) -> str:
        """Frames and sampling rate in short, such as "8x32"."""
        return f"{self.frames}x{self.clip.rate}" if self.clip.sampling == "dense" else f"{self.frames} parts"

    def lines(self) -> list[str]:
        """All facts as lines of text."""
        scores = f"top-1 {self.top1} %" + ("" if self.top5 is None else f", top-5 {self.top5} %")
        return [
            f"{self.name}: {self.scheme} attention, trained on {self.data} ({self.classes} classes), {scores}",
            f"clips    {self.cut}, {self.size} px, mean {self.clip.mean}, std {self.clip.std}",
            f"made by  {self.made_by}; licence {self.licence}",
            f"hub      {self.hub or 'no copy known'}",
            f"file     {self.file}",
            f"from     {self.page}",
            f"put it   {self.place}" + (" (it is there)" if self.downloaded and self.downloaded.is_file() else ""),
        ]


def _official(
    name: str, data: str, clip: tuple[int, int], classes: int, scores: tuple[float, float | None], file: str, hub: str
) -> Published:
    frames, size = clip
    return Published(
        name=name,
        data=data,
        scheme="divided",
        frames=frames,
        size=size,
        classes=classes,
        top1=scores[0],
        top5=scores[1],
        file=f"TimeSformer_divST_{file}.pyth",
        page=OFFICIAL_PAGE,
        licence=OFFICIAL_LICENCE,
        hub=hub,
    )


def _mmaction(name: str, scheme: Scheme, scores: tuple[float, float], file: str, stamp: str) -> Published:
    stem = f"timesformer_{file}_8xb8-8x32x1-15e_kinetics400-rgb"
    return Published(
        name=name,
        data="Kinetics-400",
        scheme=scheme,
        frames=8,
        size=224,
        classes=400,
        top1=scores[0],
        top5=scores[1],
        file=f"{stem}_20220815-{stamp}.pth",
        page=f"{MMACTION_FILES}/{stem}/{stem}_20220815-{stamp}.pth",
        licence=MMACTION_LICENCE,
        made_by="mmaction2",
    )


_K400, _K600, _SSV2, _HOWTO = "Kinetics-400", "Kinetics-600", "Something-Something-V2", "HowTo100M"
_BASE, _HUB = "facebook/timesformer-base-finetuned", "facebook/timesformer-hr-finetuned"
_LARGE = "fcakyon/timesformer-large-finetuned"

PUBLISHED: tuple[Published, ...] = (
    _official("k400-base", _K400, (8, 224), 400, (77.9, 93.2), "8x32_224_K400", f"{_BASE}-k400"),
    _official("k400-hr", _K400, (16, 448), 400, (79.6, 94.0), "16x16_448_K400", f"{_HUB}-k400"),
    _official("k400-large", _K400, (96, 224), 400, (80.6, 94.7), "96x4_224_K400", f"{_LARGE}-k400"),
    _official("k600-base", _K600, (8, 224), 600, (79.1, 94.4), "8x32_224_K600", f"{_BASE}-k600"),
    _official("k600-hr", _K600, (16, 448), 600, (81.8, 95.8), "16x16_448_K600", f"{_HUB}-k600"),
    _official("k600-large", _K600, (96, 224), 600, (82.2, 95.6), "96x4_224_K600", f"{_LARGE}-k600"),
    _official("ssv2-base", _SSV2, (8, 224), 174, (59.1, 85.6), "8_224_SSv2", f"{_BASE}-ssv2"),
    _official("ssv2-hr", _SSV2, (16, 448), 174, (61.8, 86.9), "16_448_SSv2", f"{_HUB}-ssv2"),
    _official("ssv2-large", _SSV2, (64, 224), 174, (62.0, 87.5), "64_224_SSv2", f"{_LARGE}-ssv2"),
    _official("howto100m-8", _HOWTO, (8, 224), 1059, (56.8, None), "8x32_224_HowTo100M", ""),
    _official("howto100m-32", _HOWTO, (32, 224), 1059, (61.2, None), "32x32_224_HowTo100M", ""),
    _official("howto100m-64", _HOWTO, (64, 224), 1059, (62.2, None), "64x32_224_HowTo100M", ""),
    _official("howto100m-96", _HOWTO, (96, 224), 1059, (62.6, None), "96x32_224_HowTo100M", ""),
    _mmaction("mmaction2-k400-divided", "divided", (77.69, 93.45), "divST", "a4d0d01f"),
    _mmaction("mmaction2-k400-joint", "joint", (76.95, 93.28), "jointST", "8022d1c0"),
    _mmaction("mmaction2-k400-space", "space", (76.93, 92.88), "spaceOnly", "78f05367"),
)


def find(name: str) -> Published | None:
    """Return the published checkpoint of a name, or None."""
    return next((entry for entry in PUBLISHED if entry.name == name), None)


def published_on_hub(repository: str) -> Published | image_models.ImageModel | None:
    """Return the published checkpoint that a hub repository is a copy of, or the image model in it, or None."""
    copy = next((entry for entry in PUBLISHED if entry.hub == repository), None)
    return copy or image_models.find(repository)


def suggestion(name: str) -> str:
    """Return similar published names, as the end of a sentence."""
    names = [entry.name for entry in PUBLISHED] + [model.name for model in image_models.IMAGE_MODELS]
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else "`timesformer zoo` lists the published names."
