"""Settings follow from what the data shows, are complete, and say why; "auto" settings fit the machine."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests import made_trainings, made_videos
from timesformer import machine
from timesformer.config import configfile
from timesformer.config.checks import ConfigError
from timesformer.config.model import ClipConfig, ModelConfig
from timesformer.config.training import TrainConfig
from timesformer.data import manifest
from timesformer.data.items import Item
from timesformer.data.manifest import Manifest
from timesformer.model.transformer import TimeSformer
from timesformer.training.choose import engine, plan
from timesformer.training.choose import settings as choose
from timesformer.video import reader
from timesformer.weights import checkpoint, loading
from timesformer.weights.checkpoint import Checkpoint
from timesformer.weights.report import WeightsError


@pytest.fixture
def data(tmp_path: Path) -> Manifest:
    return made_trainings.table(tmp_path / "data")


def renamed(data: Manifest, names: tuple[str, ...]) -> Manifest:
    """The same videos under other class names."""
    new = dict(zip(data.labels, names, strict=True))
    return Manifest(data.source, tuple(replace(item, label=new[str(item.label)]) for item in data.items), names)


def chosen(data: Manifest) -> TrainConfig:
    return choose.choose(data, gpu=False).config


def reasons(data: Manifest) -> str:
    return "\n".join(reason.text for reason in choose.choose(data, gpu=False).reasons)


def test_a_survey_measures_the_videos(tmp_path: Path) -> None:
    for number, level in enumerate((51, 153)):
        for split in ("train", "val"):
            path = tmp_path / split / f"c{number}" / "x.mkv"
            path.parent.mkdir(parents=True)
            picture = np.full((24, 48, 3), level, dtype=np.uint8)
            made_videos.encode(path, [picture] * 20, np.arange(20) / 10, fps=10, codec="ffv1")
    found = choose.survey(manifest.load(tmp_path))
    assert found is not None
    assert (found.seconds, found.frames, found.aspect, found.short_side) == (pytest.approx(2), 20, 2, 24)
    # Half of the pixels are 0.2, half 0.6
    assert found.mean == pytest.approx((0.4,) * 3, abs=0.02) and found.std == pytest.approx((0.2,) * 3, abs=0.02)


def test_a_survey_passes_over_broken_videos_and_is_none_where_all_are(data: Manifest) -> None:
    items = data.of("train")
    made_trainings.break_video(items[0])
    assert choose.survey(data) is not None
    for item in items:
        made_trainings.break_video(item)
    assert choose.survey(data) is None
    assert chosen(data).clip.mean == TrainConfig().clip.mean


def test_what_is_chosen_is_complete_said_and_survives_its_file(data: Manifest) -> None:
    found = choose.choose(data, gpu=False)
    assert found.config.model.classes == 2 and found.config.model.weight_init == "scratch"
    assert configfile.from_toml(configfile.to_toml(found.config)) == found.config
    assert found.reasons[0].text == "12 training clips, 2 classes"
    assert any("pixels scaled to the data's own mean" in reason.text for reason in found.reasons)
    TimeSformer(found.config.model)


def test_short_videos_are_seen_whole_and_long_ones_cut(data: Manifest, tmp_path: Path) -> None:
    assert chosen(data).clip.sampling == "segments" and chosen(data).clip.seconds == pytest.approx(0.6)
    for name in ("train/a", "train/b", "val/a", "val/b"):
        (tmp_path / "long" / name).mkdir(parents=True)
        made_videos.write(tmp_path / "long" / name / "x.mp4", frames=60, fps=4)
    long = manifest.load(tmp_path / "long")
    assert (
        chosen(long).clip.sampling == "dense"
        and chosen(long).clip.seconds == 0
        and "videos last 15.0 s" in reasons(long)
    )


@pytest.mark.parametrize(
    ("names", "flips"),
    [
        (("jump", "wave"), True),
        (("swipe_left", "wave"), False),
        (("Rotate CW", "wave"), False),
        (("turning", "wave"), False),
        (("1", "2"), False),
        (("上", "下"), False),
        (("cwm", "wave"), True),
        (("breast stroke", "bright beast"), True),
        (("copyright", "return the cleft leftovers"), True),
        (("inside", "nocturnal turnip feast"), True),
        (("turnRight", "wave"), False),
        (("move2left", "wave"), False),
        (("swipeleft", "wave"), False),
        (("RotateCCW90", "wave"), False),
        (("anticlockwise", "wave"), False),
        (("Hand-Left", "wave"), False),
        (("step_R", "wave"), False),
        (("east coast swing", "west coast swing"), False),
        (("nach links wischen", "winken"), False),
        (("wave 左", "wave 右"), False),
        (("Gähnen", "Öffnen"), True),
    ],
)
def test_clips_are_mirrored_only_where_no_class_speaks_of_sides(
    data: Manifest, names: tuple[str, ...], flips: bool
) -> None:
    table = renamed(data, names)
    assert chosen(table).augment.flip == flips
    assert ("no mirroring" in reasons(table)) != flips


def test_where_both_sides_are_classes_mirrored_clips_with_the_other_label_are_proposed(data: Manifest) -> None:
    table = renamed(data, ("swipe_left", "swipe_right"))
    assert not chosen(table).augment.flip and chosen(table).augment.mirror_labels == ()
    assert "no mirroring: 'swipe_left' is the mirror image of 'swipe_right'" in reasons(table)
    assert "--augment.mirror-labels swipe_left=swipe_right)" in reasons(table)
    found = plan.plan(table, plan.Base(), {"augment.flip": True})
    assert found.config.augment.flip and found.config.augment.mirror_labels == ("swipe_left=swipe_right",)
    assert configfile.from_toml(configfile.to_toml(found.config)) == found.config
    said = "mirrored, and labelled as the other side's class: swipe_left=swipe_right (--augment.no-flip to forbid)"
    assert any(said in reason for reason in found.reasons)


@pytest.mark.parametrize(
    ("given", "flip", "pairs"),
    [
        ({"augment.flip": False}, False, ()),
        ({"augment.flip": True}, True, ("swipe_left=swipe_right",)),
        ({"augment.mirror_labels": ()}, False, ()),
        ({"augment.flip": True, "augment.mirror_labels": ()}, True, ()),
        ({"augment.mirror_labels": ("swipe_right=swipe_left",)}, True, ("swipe_right=swipe_left",)),
    ],
)
def test_what_the_user_says_about_mirroring_holds(
    data: Manifest, given: dict[str, object], flip: bool, pairs: tuple[str, ...]
) -> None:
    table = renamed(data, ("swipe_left", "swipe_right"))
    found = plan.plan(table, plan.Base(), given)
    assert (found.config.augment.flip, found.config.augment.mirror_labels) == (flip, pairs)
    assert any("mirror" in reason for reason in found.reasons) == (
        given in ({"augment.flip": True}, {"augment.mirror_labels": ()})
    )


def three(data: Manifest, names: tuple[str, str, str]) -> Manifest:
    """The same videos, the first of each split in a third class."""
    table = renamed(data, names[:2])
    extra = {table.of(split)[0] for split in ("train", "val")}
    items = tuple(replace(item, label=names[2]) if item in extra else item for item in table.items)
    return Manifest(data.source, items, names)


def test_one_class_without_its_other_side_keeps_clips_from_being_mirrored_and_is_named(data: Manifest) -> None:
    table = three(data, ("swipe_left", "swipe_right", "turning"))
    assert not chosen(table).augment.flip and chosen(table).augment.mirror_labels == ()
    assert "no mirroring: 'turning' may depend on the side and no class is its mirror image" in reasons(table)
    allowed = plan.plan(table, plan.Base(), {"augment.flip": True}).config.augment
    assert allowed.flip and allowed.mirror_labels == ("swipe_left=swipe_right",)
    innocent = three(data, ("swipe_left", "swipe_right", "wave"))
    assert not chosen(innocent).augment.flip
    innocent = plan.plan(innocent, plan.Base(), {"augment.flip": True}).config.augment  # type: ignore[assignment]
    assert innocent.flip and innocent.mirror_labels == ("swipe_left=swipe_right",)


def test_settings_of_a_file_or_a_recipe_are_kept_and_pairs_that_they_lack_are_proposed(data: Manifest) -> None:
    table = renamed(data, ("swipe left", "swipe right"))
    base = plan.Base(made_trainings.config(augment={"flip": True}))
    found = plan.plan(table, base, {})
    assert found.config.augment == base.config.augment  # type: ignore[union-attr]
    said = "\n".join(found.reasons)
    assert (
        "half of the clips mirrored although 'swipe left' may depend on the side (--augment.no-flip to forbid; " in said
    )
    assert "--augment.mirror-labels 'swipe left=swipe right' to change labels with it)" in said
    named = plan.plan(table, base, {"augment.mirror_labels": ("swipe left=swipe right",)})
    assert named.config.augment.mirror_labels and not any("mirrored" in reason for reason in named.reasons)
    off = plan.Base(replace(named.config, augment=replace(named.config.augment, flip=False, mirror_labels=())))
    assert plan.plan(table, off, {"augment.mirror_labels": ("swipe left=swipe right",)}).config.augment.flip
    none = plan.plan(table, plan.Base(named.config), {"augment.flip": False}).config.augment
    assert not none.flip and none.mirror_labels == ()


def test_pairs_are_checked_before_anything_is_built(data: Manifest) -> None:
    for name in ("augment.mirror_labels", "augment.reverse_labels"):
        with pytest.raises(ConfigError, match=r"names 'lihgt', which is no class of the data; did you mean 'light'\?"):
            plan.plan(data, plan.Base(), {name: ("dark=lihgt",)})
    numbers = made_trainings.relabelled(data, {"dark": (0.0, 1.0), "light": (1.0, -1.0)}, "regression")
    with pytest.raises(ConfigError, match="but a regression predicts numbers"):
        plan.plan(numbers, plan.Base(), {"augment.mirror_labels": ("dark=light",)})


def test_classes_are_compared_by_the_clips_that_they_have_once_mirrored(data: Manifest) -> None:
    table = renamed(data, ("swipe_left", "swipe_right"))
    items = tuple(
        item for item in table.items if item.split == "val" or item.label == "swipe_left" or "01" in item.name
    )
    table = Manifest(data.source, items, table.labels)
    assert chosen(table).optim.class_weights
    assert not plan.plan(table, plan.Base(), {"augment.flip": True}).config.optim.class_weights


def test_what_is_chosen_looks_at_time_ranges_not_at_their_files(tmp_path: Path) -> None:
    made_videos.write(tmp_path / "long.mp4", frames=480, fps=4)  # two minutes
    rows = [f"long.mp4,{'ab'[at % 2]},{at},{at + 1},{'val' if at > 60 else 'train'}" for at in range(0, 110, 5)]
    (tmp_path / "ranges.csv").write_text("\n".join(["path,label,start,end,split", *rows]))
    table = manifest.load(tmp_path / "ranges.csv")
    seen = choose.survey(table)
    assert seen is not None and seen.seconds == pytest.approx(1) and seen.frames == 4
    assert "time ranges last 1.0 s: each is seen whole" in reasons(table)
    assert chosen(table).clip.sampling == "segments"
    assert engine.settle(chosen(table), table, gpu=False).engine.cache == "on"


def test_one_long_video_among_short_ones_is_not_taken_into_memory_unseen(
    data: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_videos.write(tmp_path / "long.mp4", frames=900, fps=30)
    short = data.of("train")[0]
    items = [replace(short, name=f"{number}.mp4") for number in range(200)]
    items[1] = replace(short, path=tmp_path / "long.mp4")  # which no sample of every fourth item sees
    table = Manifest(data.source, (*items, *data.of("val")), data.labels)
    config = made_trainings.config(engine={"cache": "auto"})
    for frames, cache in ((200 * 6 + 500, "off"), (200 * 6 + 1000, "on")):
        monkeypatch.setattr(machine, "memory", lambda frames=frames: 8 * frames * 3 * 24 * 24)
        assert engine.settle(config, table, gpu=False).engine.cache == cache


def test_unequal_classes_are_weighed_alike(data: Manifest) -> None:
    assert not chosen(data).optim.class_weights
    items = tuple(item for item in data.items if item.split == "val" or item.label == "dark" or "01" in item.name)
    unequal = Manifest(data.source, items, data.labels)
    assert chosen(unequal).optim.class_weights and "weighted equally" in reasons(unequal)


def test_numbers_are_neither_smoothed_nor_mirrored_nor_weighed(data: Manifest) -> None:
    numbers = made_trainings.relabelled(data, {"dark": (0.0, 1.0), "light": (1.0, -1.0)}, "regression")
    found = chosen(numbers)
    assert found.task == "regression" and found.model.classes == 2
    assert (found.optim.label_smoothing, found.optim.class_weights, found.augment.flip) == (0, False, False)


def test_trainings_of_more_clips_are_longer_and_no_epoch_is_too_short_to_validate(tmp_path: Path) -> None:
    def steps(clips: int, *, gpu: bool) -> int:
        items = (Item(tmp_path / f"{number}.mp4", "ab"[number % 2], "train") for number in range(clips))
        optim = choose.choose(Manifest(tmp_path, tuple(items), ("a", "b")), gpu=gpu).config.optim
        per_epoch = clips * optim.repeats // optim.batch
        assert per_epoch >= 35 and optim.epochs >= 10
        assert optim.repeats == 1 or per_epoch <= 60
        return optim.epochs * per_epoch

    for gpu in (False, True):
        found = [steps(clips, gpu=gpu) for clips in (12, 100, 640, 5000)]
        assert found[0] <= found[1] + 50 and found[1] < found[2] < found[3]
    assert steps(640, gpu=True) > steps(640, gpu=False)


def test_weights_to_start_from_bring_their_model_and_clip_settings(data: Manifest, tmp_path: Path) -> None:
    own = chosen(data).clip
    for start in ("image", "scratch"):
        settings = made_trainings.config(clip={"mean": (0.1, 0.2, 0.3)}, model={"classes": 7, "weight_init": start})
        saved = Checkpoint(TimeSformer(settings.model), settings.clip)
        checkpoint.save(saved, tmp_path / "weights.safetensors")
        source = loading.read_source(tmp_path / "weights.safetensors")
        found = choose.choose(data, gpu=False, source=source)
        assert found.config.model == replace(settings.model, classes=2)
        scale = {"mean": own.mean, "std": own.std} if start == "scratch" else {}  # as the weights' own pixels were
        assert found.config.clip == replace(settings.clip, seconds=0.6, **scale)
        assert found.config.optim.layer_decay < 1
        assert any(reason.text.startswith("started from") for reason in found.reasons)
        assert not any("--init" in reason.text for reason in found.reasons)


def test_a_recipe_takes_what_only_the_architecture_decides_from_the_weights(data: Manifest, tmp_path: Path) -> None:
    settings = made_trainings.config(model={"norm_eps": 1e-12, "registers": 2, "activation": "quick_gelu"})
    weights = tmp_path / "weights.safetensors"
    checkpoint.save(Checkpoint(TimeSformer(settings.model), settings.clip), weights)
    base, given = plan.Base(made_trainings.config()), {"init": str(weights)}
    found = plan.plan(data, base, given)
    assert found.config.model == replace(settings.model, classes=2)
    assert f"as in the weights {weights}: registers 2, activation quick_gelu, norm_eps 1e-12" in found.reasons
    loading.start(weights, found.config.model)
    other = plan.plan(data, base, {**given, "model.norm_eps": 1e-5}).config.model
    with pytest.raises(WeightsError, match="norm_eps 1e-12 but 1e-05 is wanted"):
        loading.start(weights, other)
    assert not any("as in the weights" in reason for reason in plan.plan(data, plan.Base(found.config), {}).reasons)


def test_of_an_image_model_the_last_blocks_learn_on_what_the_others_compute_once(
    data: Manifest, tmp_path: Path
) -> None:
    model = made_trainings.config(model={"scheme": "space", "depth": 4, "weight_init": "image"}).model
    mean = (0.1, 0.2, 0.3)
    checkpoint.save(Checkpoint(TimeSformer(model), ClipConfig(mean=mean)), tmp_path / "weights.safetensors")
    source = replace(loading.read_source(tmp_path / "weights.safetensors"), image=True)
    found = choose.choose(data, gpu=False, source=source)
    config, said = found.config, " ".join(reason.text for reason in found.reasons)
    assert (config.model.scheme, config.model.frames, config.clip.frames) == ("divided", 16, 16)
    assert config.model.size == config.clip.size == 8 * model.patch
    assert (config.clip.mean, config.frozen_blocks, config.augment.versions) == (mean, 2, 4)
    assert "the last 2 blocks of 4 learn" in said and "run once for 4 versions of each video" in said
    own = choose.choose(data, gpu=False, source=source, named={"frozen_blocks": 0}).config
    assert (own.frozen_blocks, own.augment.versions, own.optim.lr) == (0, 0, config.optim.lr)
    assert config.augment.patch_drop == own.augment.patch_drop == 0.5 and "50% of the patches" in said
    other = choose.choose(data, gpu=False, source=source, named={"model.scheme": "axial"})
    assert (other.config.model.scheme, other.config.augment.patch_drop) == ("axial", 0)
    assert not any("of the patches" in reason.text for reason in other.reasons)


def test_without_weights_one_line_names_an_image_model_to_start_from_and_nothing_is_downloaded(
    data: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "read_source", lambda *_, **__: pytest.fail("weights were read"))
    hints = [reason for reason in plan.plan(data, plan.Base(), {}).reasons if "--init dinov2-small" in reason]
    assert len(hints) == 1 and "\n" not in hints[0]
    assert not any("--init" in reason for reason in plan.plan(data, plan.Base(chosen(data)), {}).reasons)


@pytest.mark.parametrize(("width", "whole", "light"), [(16, 5e-4, 5e-3), (384, 5e-5, 5e-4)])
def test_adapters_and_heads_learn_ten_times_faster_and_no_block_slower(
    data: Manifest, tmp_path: Path, width: int, whole: float, light: float
) -> None:
    settings = made_trainings.config(model={"width": width, "depth": 1})
    checkpoint.save(Checkpoint(TimeSformer(settings.model), settings.clip), tmp_path / "weights.safetensors")
    source = loading.read_source(tmp_path / "weights.safetensors")
    found = [choose.choose(data, gpu=False, source=source, light=light).config.optim for light in (False, True)]
    assert [(optim.lr, optim.layer_decay) for optim in found] == [(whole, 0.75), (pytest.approx(light), 1.0)]


def test_videos_shorter_than_a_clip_of_the_weights_are_seen_whole(data: Manifest, tmp_path: Path) -> None:
    for rate, sampling in ((20, "segments"), (4, "dense")):  # 2 frames at 30 a second span 1.3 and 0.3 s; videos 0.6 s
        settings = made_trainings.config(clip={"sampling": "dense", "rate": rate}, model={"weight_init": "image"})
        checkpoint.save(Checkpoint(TimeSformer(settings.model), settings.clip), tmp_path / "weights.safetensors")
        found = choose.choose(data, gpu=False, source=loading.read_source(tmp_path / "weights.safetensors"))
        seconds = 0.6 if sampling == "segments" else 0.0
        assert found.config.clip == replace(settings.clip, sampling=sampling, seconds=seconds)
        assert any("seen whole" in reason.text for reason in found.reasons) == (sampling == "segments")


def test_settling_leaves_nothing_open_and_keeps_what_was_set(data: Manifest) -> None:
    config = chosen(data)
    settled = engine.settle(config, data, gpu=False)
    assert settled.engine.cache == "on" and settled.engine.workers == 0
    assert settled.engine.precision in ("fp32", "bf16")
    assert replace(settled, engine=config.engine) == config
    own = replace(config, engine=replace(config.engine, cache="off", precision="fp32", workers=3))
    assert engine.settle(own, data, gpu=True) == own
    cores = len(os.sched_getaffinity(0))
    off = replace(config, engine=replace(config.engine, cache="off"))
    assert engine.settle(off, data, gpu=False).engine.workers == max(cores - 1, 1)


def test_frames_are_kept_in_memory_only_where_those_of_all_processes_fit(
    data: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    video = 6 * 3 * 24 * 24  # bytes of each of the twelve clips
    count = memory // 8 // video - 2
    items = data.of("train") * (count // 12)
    many = Manifest(data.source, items, data.labels)
    config = made_trainings.config(engine={"cache": "auto"}, clip={"size": 32}, model={"size": 32})
    assert engine.settle(config, many, gpu=False).engine.cache == "on"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert engine.settle(config, many, gpu=False).engine.cache == "off"
    assert engine.settle(config, data, gpu=False).engine.cache == "on"


def test_the_cores_are_shared_by_the_processes_of_a_machine(data: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    config = made_trainings.config(engine={"cache": "off", "workers": -1})
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    assert engine.settle(config, data, gpu=True).engine.workers == 15
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert engine.settle(config, data, gpu=True).engine.workers == 3


@pytest.mark.parametrize(
    ("supported", "seconds", "expected"),
    [(True, (1.0, 2.0), "bf16"), (True, (1.0, 1.2), "fp32"), (True, (2.0, 1.0), "fp32"), (False, (1.0, 2.0), "fp32")],
)
def test_half_precision_is_chosen_where_its_products_are_faster(
    data: Manifest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    supported: bool,
    seconds: tuple[float, float],
    expected: str,
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: supported)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(engine, "_product_seconds", lambda model: seconds)
    monkeypatch.setenv("TIMESFORMER_CACHE", str(tmp_path))
    config = made_trainings.config(engine={"precision": "auto"})
    assert engine.settle(config, data, gpu=False).engine.precision == expected
    monkeypatch.setattr(engine, "_product_seconds", lambda _: seconds[::-1])  # a busier moment: the choice stays
    assert engine.settle(config, data, gpu=False).engine.precision == expected
    named = made_trainings.config(engine={"precision": "bf16"})
    assert engine.settle(named, data, gpu=False).engine.precision == "bf16"


def test_products_of_both_precisions_are_timed() -> None:
    half, full = engine._product_seconds(made_trainings.config().model)
    assert 0 < half < 1 and 0 < full < 1


def test_the_chosen_model_is_the_small_one_on_a_cpu_and_a_larger_one_on_a_gpu(data: Manifest) -> None:
    small, large = (choose.choose(data, gpu=gpu).config.model for gpu in (False, True))
    assert isinstance(small, ModelConfig) and small.width < large.width and small.depth < large.depth
    assert small.frame_size[0] % small.patch == 0 and large.frame_size[0] % large.patch == 0


@pytest.mark.parametrize("named", [False, True])
def test_the_videos_are_surveyed_once_for_all_settings(
    data: Manifest, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    made: list[Manifest] = []
    survey = choose.survey
    for module in (plan, choose, engine):
        monkeypatch.setattr(module, "survey", lambda table: made.append(table) or survey(table))
    start = plan.Base(made_trainings.config()) if named else plan.Base()
    found = plan.plan(data, start, {"engine.cache": "auto"})
    assert found.config.engine.cache != "auto" and len(made) == 1


def test_what_was_chosen_of_a_file_with_several_streams_is_told_before_training(
    data: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    info, item = reader.info, data.of("train")[0]

    def several(path: Path) -> reader.VideoInfo:
        return replace(info(path), notes=("holds 2 video streams",)) if path == item.path else info(path)

    monkeypatch.setattr(reader, "info", several)
    assert f"{item.key}: holds 2 video streams" in plan.plan(data, plan.Base(), {}).reasons
