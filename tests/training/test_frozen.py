"""What frozen blocks compute for fixed versions of the clips is computed once, and changes nothing that is learned."""

import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import made_trainings
from tests.made_trainings import Watcher
from timesformer.config.checks import ConfigError
from timesformer.config.model import ClipConfig, ModelConfig
from timesformer.config.training import TrainConfig
from timesformer.data.batches.order import version
from timesformer.data.items import DataError
from timesformer.data.manifest import Manifest
from timesformer.model.attention import GroupAttention
from timesformer.model.schemes import SCHEMES, Grid
from timesformer.model.transformer import Block, TimeSformer
from timesformer.training.engine import frozen
from timesformer.training.loop import train
from timesformer.weights import checkpoint
from timesformer.weights.checkpoint import Checkpoint


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return made_trainings.table(tmp_path_factory.mktemp("frozen") / "data")


def settings(**changes: Any) -> TrainConfig:
    """A small training with the lower of two blocks frozen and two versions of each video."""
    whole: dict[str, dict[str, Any]] = {
        "model": {"drop_path": 0.3},
        "augment": {"versions": 2, "colour": 0.4, "erase": 0.5},
        "optim": {"ema": 0.9, "accumulate": 2, "clip_grad": 1.0, "repeats": 2, "warmup": 1.0, "label_smoothing": 0.1},
    }
    names = ("model", "clip", "augment", "optim", "engine")
    sections = {name: whole.get(name, {}) | changes.pop(name, {}) for name in names}
    return made_trainings.config(**{"frozen_blocks": 1} | changes, **sections)


def trained(data: Manifest, config: TrainConfig, out: Path) -> Watcher:
    watcher = Watcher()
    train(data, config, out, display=watcher)
    return watcher


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("training", [False, True])
def test_the_model_gives_the_same_in_two_parts_as_in_one(scheme: Any, training: bool) -> None:
    torch.manual_seed(0)
    model = TimeSformer(
        ModelConfig(scheme=scheme, frames=2, size=16, patch=8, width=16, depth=3, heads=2, classes=2, drop_path=0.0)
    ).train(training)
    for value in model.parameters():
        torch.nn.init.normal_(value, std=0.2)
    clips = torch.randn(3, 2, 3, 16, 16)
    whole = model(clips)
    for blocks in range(4):
        tokens = model.lower(clips, blocks)
        assert tokens.shape[1] == (2 if scheme == "space" else 1) + (0 if training and blocks == 3 else 8)
        assert torch.equal(model.upper(tokens, Grid(2, 2, 2), blocks), whole)


def test_a_head_that_reads_the_last_blocks_leaves_those_below_to_be_kept() -> None:
    torch.manual_seed(0)
    config = ModelConfig(
        frames=2, size=16, patch=8, width=16, depth=6, heads=2, classes=2, drop_path=0.0, pool="last_blocks"
    )
    model, clips = TimeSformer(config).train(), torch.randn(3, 2, 3, 16, 16)
    clip = ClipConfig(frames=2, size=16)
    depths = [TrainConfig(model=config, clip=clip, frozen_blocks=frozen).kept_depth for frozen in range(7)]
    assert depths == [0, 1, 2, 3, 3, 3, 3]
    for blocks in range(4):
        assert torch.equal(model.upper(model.lower(clips, blocks), Grid(2, 2, 2), blocks), model(clips))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"frozen_blocks": 0, "freeze": "backbone"},
        {"frozen_blocks": 2},
        {"model": {"scheme": "space"}},
        {"model": {"scheme": "joint"}, "augment": {"crop": "resized"}, "optim": {"accumulate": 1, "batch": 5}},
        {"augment": {"versions": 20}, "engine": {"checkpointing": -1, "workers": 2}},
        {"augment": {"mirror_labels": ("dark=light",), "erase": 0.0}},
        {"engine": {"cache": "on", "optimizer_in_backward": True}, "optim": {"clip_grad": 0.0, "accumulate": 1}},
    ],
    ids=[
        "lower block",
        "backbone",
        "all blocks",
        "space",
        "joint",
        "more versions than epochs",
        "mirrored labels",
        "cached frames",
    ],
)
def test_kept_results_of_frozen_blocks_change_nothing(data: Manifest, tmp_path: Path, changes: dict[str, Any]) -> None:
    kept = trained(data, settings(**changes), tmp_path / "kept")
    engine = changes.get("engine", {}) | {"frozen_cache": False}
    again = trained(data, settings(**changes | {"engine": engine}), tmp_path / "again")
    assert kept.losses == again.losses
    assert made_trainings.results(tmp_path / "kept") == made_trainings.results(tmp_path / "again")
    said = [text for text in kept.said if "frozen blocks" in text]
    versions = min(changes.get("augment", {}).get("versions", 2), 6)
    assert len(said) == 1 and said[0].startswith(f"- frozen blocks computed once for 12 clips in {versions} versions: ")
    assert said[0].endswith(" MB in memory") and not any("frozen blocks" in text for text in again.said)


def test_frozen_blocks_are_not_computed_in_any_step(data: Manifest, tmp_path: Path) -> None:
    calls = []
    moments = {("step", 1): lambda: calls.append(count[0])} | {("step", 9): lambda: calls.append(count[0])}
    count, forward = [0], frozen.TimeSformer.lower

    def counted(*arguments: Any) -> torch.Tensor:
        count[0] += 1
        return forward(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frozen.TimeSformer, "lower", counted)
        config = settings(optim={"repeats": 1, "epochs": 3})
        train(data, config, tmp_path / "run", display=Watcher(moments))
    assert calls[0] == 1 + 2 * 12  # a blank clip, then 12 clips in 2 versions
    assert calls[1] == calls[0] + len(data.of("val"))  # and each validation clip once for all epochs


def test_steps_that_add_nothing_are_left_out_of_frozen_blocks_alone(data: Manifest, tmp_path: Path) -> None:
    config = settings(model={"weight_init": "image"}, optim={"ema": 0.0})
    seen: dict[int, set[str]] = {}
    forward = GroupAttention.forward

    def noted(step: GroupAttention, *arguments: Any, **named: Any) -> torch.Tensor:
        seen.setdefault(id(step), set()).add(step.step.name)
        return forward(step, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GroupAttention, "forward", noted)
        train(data, config, tmp_path / "run", display=Watcher())
    ran = sorted("".join(names) for names in seen.values())
    assert ran == ["space", "space", "time"]  # of the frozen block, and of the one that learns


def test_a_resumed_training_looks_at_the_weights_that_it_was_saved_with(data: Manifest, tmp_path: Path) -> None:
    """A new model's time steps add nothing, those of the weights to start from do."""
    config, weights = settings(model={"weight_init": "image"}), tmp_path / "start.safetensors"
    model = TimeSformer(config.model)
    for value in model.parameters():
        torch.nn.init.normal_(value, std=0.2)
    checkpoint.save(Checkpoint(model, config.clip), weights)
    changes = {"init": str(weights), "model": {"weight_init": "image"}}
    trained(data, settings(**changes), tmp_path / "whole")
    stop = {("epoch", 2): made_trainings.signalled(signal.SIGTERM)}
    made_trainings.run(data, settings(**changes), tmp_path / "parts", moments=stop)
    made_trainings.run(data, settings(**changes), tmp_path / "parts", resume=True)
    assert made_trainings.results(tmp_path / "parts") == made_trainings.results(tmp_path / "whole")


def test_memory_holds_what_there_is_room_for_and_knows_clips_by_their_pixels() -> None:
    torch.manual_seed(0)
    model = TimeSformer(ModelConfig(frames=2, size=16, patch=8, width=16, depth=2, heads=2, classes=2)).eval()
    clips = torch.randn(3, 2, 3, 16, 16)
    wanted = frozen.lower(model, clips, 1)
    memory = frozen.Memory(2 * wanted[:1].nbytes)
    assert torch.equal(memory.lower(model, clips, 1), wanted) and memory.room == 0
    torch.nn.init.zeros_(model.embedding.patch.weight)  # what is computed from now on is something else
    again = memory.lower(model, clips, 1)
    assert torch.equal(again[:2], wanted[:2]) and not torch.equal(again[2], wanted[2])


@pytest.mark.parametrize("changes", [{}, {"frozen_blocks": 0}, {"frozen_blocks": 2}, {"model": {"scheme": "space"}}])
def test_steps_see_a_part_of_the_patch_positions(data: Manifest, tmp_path: Path, changes: dict[str, Any]) -> None:
    sizes: dict[int, set[int]] = {}
    forward = Block.forward

    def noted(block: Block, tokens: torch.Tensor, grid: Grid, **named: Any) -> torch.Tensor:
        if torch.is_grad_enabled():
            sizes.setdefault(id(block), set()).add(grid.tokens)
        return forward(block, tokens, grid, **named)

    dropped = {"augment": {"patch_drop": 0.5, "versions": 2}} | changes
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Block, "forward", noted)
        kept = trained(data, settings(**dropped), tmp_path / "kept")
    assert all(size == {4} for size in sizes.values())  # 2 frames x 2 of the 4 patches
    again = trained(data, settings(**dropped | {"engine": {"frozen_cache": False}}), tmp_path / "again")
    assert kept.losses == again.losses


def test_half_precision_keeps_half_the_bytes_and_learns_nearly_the_same(data: Manifest, tmp_path: Path) -> None:
    half = {"precision": "bf16"}
    kept = trained(data, settings(engine=half), tmp_path / "kept")
    again = trained(data, settings(engine=half | {"frozen_cache": False}), tmp_path / "again")
    assert kept.losses == pytest.approx(again.losses, abs=0.02) and kept.losses != again.losses
    sizes = [frozen.Store(3, (4, 2), precision, tmp_path).bytes for precision in ("fp32", "bf16", "fp16")]
    assert sizes == [96, 48, 48]


def test_a_stopped_training_goes_on_as_if_it_had_not_been_stopped(data: Manifest, tmp_path: Path) -> None:
    trained(data, settings(), tmp_path / "whole")
    for moment in (("decoding", 2), ("step", 4), ("epoch", 2)):
        out = tmp_path / f"{moment[0]}"
        outcome = made_trainings.run(data, settings(), out, moments={moment: made_trainings.signalled(signal.SIGTERM)})
        assert outcome.stopped == signal.SIGTERM
        made_trainings.run(data, settings(), out, resume=True)
        assert made_trainings.results(out) == made_trainings.results(tmp_path / "whole")
    watcher = Watcher()
    train(data, settings(), tmp_path / "whole", resume=True, display=watcher)
    assert not any("frozen blocks" in text for text in watcher.said)


def test_what_does_not_fit_into_memory_goes_to_a_file_that_disappears(
    data: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(data, settings(), tmp_path / "memory")
    monkeypatch.setattr(frozen, "SHARE", 0.0)
    watcher = trained(data, settings(), tmp_path / "disk")
    assert any(text.endswith("MB on disk") for text in watcher.said)
    assert made_trainings.results(tmp_path / "disk") == made_trainings.results(tmp_path / "memory")
    assert {path.name for path in (tmp_path / "disk").iterdir()} == {
        path.name for path in (tmp_path / "memory").iterdir()
    }


def test_a_full_disk_is_refused_with_what_helps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen, "SHARE", 0.0)
    with pytest.raises(ConfigError, match=r"takes 4000000000\.0 GB, .*use fewer --augment\.versions, or --engine\.no-"):
        frozen.Store(10**9, (10**6, 10**3), "fp32", tmp_path)


def test_broken_videos_are_named_and_left_out_as_without_it(tmp_path: Path) -> None:
    data = made_trainings.table(tmp_path / "data")
    made_trainings.break_video(data.of("train")[3])
    found = []
    for name, kept in (("kept", True), ("again", False)):
        config = settings(engine={"frozen_cache": kept, "broken_share": 0.2})
        outcome = made_trainings.run(data, config, tmp_path / name)
        found.append((outcome.broken, made_trainings.results(tmp_path / name)))
    assert found[0] == found[1] and [video.key for video in found[0][0]] == [data.of("train")[3].key]


def test_a_training_of_broken_videos_alone_ends_with_their_names(tmp_path: Path) -> None:
    data = made_trainings.table(tmp_path / "data")
    for item in data.of("train"):
        made_trainings.break_video(item)
    with pytest.raises(DataError, match="12 of 12 train videos are broken"):
        made_trainings.run(data, settings(), tmp_path / "run")
    assert len((tmp_path / "run" / "broken.csv").read_text().splitlines()) == 13


def test_mixing_and_several_processes_need_the_frozen_blocks_in_every_step(data: Manifest, tmp_path: Path) -> None:
    mixed = settings(augment={"mixup": 0.8})
    assert not frozen.is_kept(mixed, processes=1)
    watcher = trained(data, mixed, tmp_path / "run")
    (said,) = [text for text in watcher.said if "frozen blocks" in text]
    assert said.startswith("- frozen blocks are computed in every step: mixup and CutMix blend")
    assert frozen.obstacle(settings(), processes=2).startswith("2 processes train together")
    assert not frozen.obstacle(settings(augment={"versions": 0}), processes=2)


def test_two_processes_learn_from_the_same_versions_as_one(data: Manifest, tmp_path: Path) -> None:
    config = settings(model={"drop_path": 0.0})  # each process drops paths of its own
    made_trainings.together(made_trainings.train_as_rank, 2, data.source, config, tmp_path / "two", {})
    made_trainings.run(data, config, tmp_path / "one")
    two, one = (made_trainings.results(tmp_path / name)["rows"] for name in ("two", "one"))
    assert [row["train_loss"] for row in two] == pytest.approx([row["train_loss"] for row in one], abs=1e-4)


def test_all_versions_are_taken_in_turn() -> None:
    taken = [version((epoch, repeat, 7), 2, 3) for epoch in range(3) for repeat in range(2)]
    assert taken == [0, 1, 2, 0, 1, 2]


def test_frozen_blocks_drop_no_path_once_versions_are_fixed() -> None:
    config = settings()
    model = TimeSformer(config.model)
    model.blocks[0].drop_path = 0.3
    frozen.hold_still(model, settings(augment={"versions": 0}))
    assert [block.drop_path for block in model.blocks] == pytest.approx([0.3, 0.3])
    frozen.hold_still(model, config)
    assert [block.drop_path for block in model.blocks] == pytest.approx([0.0, 0.3])
