"""The clip settings of foreign weights: those they state, and otherwise those of the most similar official model."""

from dataclasses import asdict

from timesformer.config.checks import in_pixels, sides
from timesformer.config.model import ClipConfig, ModelConfig
from timesformer.weights import metadata
from timesformer.weights.formats.settings import Settings

SOMETHING_CLASSES, HOWTO_CLASSES = 174, 1059


def clip_settings(
    settings: Settings, model: ModelConfig, source: str, *, image: bool = False
) -> tuple[ClipConfig, tuple[str, ...]]:
    """Return the clip settings of foreign weights, and notes on assumptions.

    Values that aren't stated are those of the official model of the same data set, frames and size. Where this package
    wrote the source, its description is used, and stated values override it; frames only if they differ from the
    model's. An ``image`` model states nothing about time, and nothing is said about that.
    """
    stated = dict(settings.clip)
    if settings.ours is not None:
        if stated.get("frames") == settings.ours.model.frames:
            del stated["frames"]
        return metadata.decode(ClipConfig, asdict(settings.ours.clip) | stated, source), ()
    size = model.size
    notes: list[str] = []
    crop = stated.get("size")
    if any(isinstance(side, int) and side % model.patch for side in (crop if isinstance(crop, list) else [crop])):
        notes.append(
            f"crops of {stated.pop('size')} px stated, which is not divisible by patches of {model.patch}: "
            f"{in_pixels(size).removesuffix(' px')} taken"
        )
    seen = stated.get("size") if image else None
    dataset = settings.dataset or _data_set(model.classes)
    usual = asdict(usual_clip(model.frames, seen if isinstance(seen, int) and seen > 0 else size, dataset))
    clip = metadata.decode(ClipConfig, usual | stated, f"{source}: clip settings")
    guessed = not settings.dataset and model.classes == SOMETHING_CLASSES
    if guessed:
        notes.append("174 classes: Something-Something-V2 assumed: frames from equal segments, BGR channels")
    if image:  # it has no frames, and its position embedding is often for larger images than it is used with
        return clip, tuple(notes)
    if clip.frames != model.frames:
        notes.append(f"clips of {clip.frames} frames stated; the time embedding, for {model.frames}, is interpolated")
    if clip.frame_size != model.frame_size:
        notes.append(
            f"crops of {in_pixels(clip.size)} stated; the position embedding, for {in_pixels(size)}, is interpolated"
        )
    if not guessed and "rate" not in settings.clip and clip.sampling == "dense":
        notes.append(f"no sampling rate stated: {clip.rate} assumed, as in the official model of this size")
    return clip, tuple(notes)


def _data_set(classes: int) -> str:
    return {SOMETHING_CLASSES: "ssv2", HOWTO_CLASSES: "howto100m"}.get(classes, "")


def usual_clip(frames: int, size: int | tuple[int, int], dataset: str = "") -> ClipConfig:
    """Return the clip settings of the official model of this size (paper, appendix A, and the released configs)."""
    if dataset == "ssv2":
        return ClipConfig(frames=frames, size=size, sampling="segments", channels="bgr")
    rate = 32
    if dataset != "howto100m" and frames >= 96:
        rate = 4
    elif dataset != "howto100m" and min(sides(size)) >= 448:
        rate = 16
    return ClipConfig(frames=frames, size=size, rate=rate)
