"""Scores of videos: worked out by hand, whatever the batches and processes, with every broken video named."""

from dataclasses import replace
from pathlib import Path

import av
import pytest
import torch

from tests.made_scores import CLIP, Grey, grey_items, tiny, write_grey
from tests.made_trainings import together
from timesformer.config.checks import ConfigError
from timesformer.data.items import Item
from timesformer.inference.answers import forward
from timesformer.inference.scoring import Scores, Scoring, score_videos
from timesformer.training.engine.processes import joined

HERE = Scoring(crops=1, workers=0)


def expected(greys: list[int]) -> torch.Tensor:
    """Softmax of Grey's logits for videos of one grey."""
    mean = torch.tensor(greys) / 255
    return torch.stack([4 * mean, torch.ones(len(greys)), mean], dim=1).softmax(dim=1)


def broken(path: Path) -> Item:
    path.write_text("no video")
    return Item(path, "grey 0", "test", name=path.name)


def test_scores_are_the_softmax_of_the_model_for_each_video_in_order(tmp_path: Path) -> None:
    greys = [200, 20, 90, 120, 60]
    items = grey_items(tmp_path, greys)
    found = score_videos(Grey(), items, CLIP, HERE)
    assert (found.items, found.keys) == (tuple(items), ("0.mp4", "1.mp4", "2.mp4", "3.mp4", "4.mp4"))
    assert found.scores.dtype == torch.float32
    torch.testing.assert_close(found.scores, expected(greys), atol=0.01, rtol=0)
    assert (found.failed, found.damaged) == ((), ())


def test_views_are_averaged_as_scores_or_as_logits(tmp_path: Path) -> None:
    path = write_grey(tmp_path / "v.mp4", 10, 10, 240, 240)
    clip = replace(CLIP, frames=1, sampling="dense", rate=1, fps=10)
    scoring = Scoring(clips=4, crops=1, workers=0)
    views = expected([10, 10, 240, 240])
    found = score_videos(Grey(), [Item(path, "")], clip, scoring).scores
    torch.testing.assert_close(found, views.mean(dim=0, keepdim=True), atol=0.01, rtol=0)
    mixed = [Item(path, ""), *grey_items(tmp_path, [90])]  # of four frames and of two
    found = score_videos(Grey(), mixed, clip, replace(scoring, clips=1, placement="whole")).scores
    wanted = torch.cat([views.mean(dim=0, keepdim=True), expected([90])])
    torch.testing.assert_close(found, wanted, atol=0.01, rtol=0)
    found = score_videos(Grey(), [Item(path, "")], clip, replace(scoring, fusion="logits")).scores
    torch.testing.assert_close(found, expected([125]), atol=0.01, rtol=0)
    found = score_videos(Grey(), [Item(path, "")], clip, scoring, task="regression").scores
    torch.testing.assert_close(found, torch.tensor([[4 * 125, 255, 125]]) / 255, atol=0.01, rtol=0)
    found = score_videos(Grey(), [Item(path, "")], clip, scoring, task="multilabel").scores
    assert found[0, 1] == pytest.approx(torch.sigmoid(torch.tensor(1.0)).item())


def test_batches_and_loader_processes_do_not_change_the_scores(tmp_path: Path) -> None:
    items = [*grey_items(tmp_path, [200, 20, 90, 120, 60]), broken(tmp_path / "b.mp4"), *grey_items(tmp_path, [30])]
    checkpoint = tiny()
    whole = score_videos(checkpoint.model, items, CLIP, Scoring(clips=2, crops=3, batch=64, workers=0))
    for batch, workers in ((1, 0), (5, 0), (6, 2), (13, -1)):
        scoring = Scoring(clips=2, crops=3, batch=batch, workers=workers)
        part = score_videos(checkpoint.model, items, CLIP, scoring)
        torch.testing.assert_close(part.scores, whole.scores, atol=1e-6, rtol=1e-5)
        assert (part.items, part.failed) == (whole.items, whole.failed)
    assert len(whole.items) == 6


def test_no_forward_pass_takes_more_views_than_asked_for(tmp_path: Path) -> None:
    items = grey_items(tmp_path, [200, 20, 90])
    for batch, sizes in ((8, [6, 3]), (3, [3, 3, 3]), (2, [2, 1] * 3), (100, [9])):
        model = Grey()
        score_videos(model, items, CLIP, Scoring(crops=3, batch=batch, workers=0))
        assert model.sizes == sizes


def test_broken_videos_are_named_and_the_others_scored(tmp_path: Path) -> None:
    good = grey_items(tmp_path, [200, 20])
    late = Item(good[0].path, "grey 200", start=9.0, end=10.0, name="0.mp4")
    done: list[int] = []
    items = [broken(tmp_path / "b.mp4"), good[0], late, good[1], Item(tmp_path / "none.mp4", "", name="none.mp4")]
    found = score_videos(Grey(), items, CLIP, HERE, progress=done.append)
    assert found.keys == ("0.mp4", "1.mp4")
    torch.testing.assert_close(found.scores, expected([200, 20]), atol=0.01, rtol=0)
    assert [key for key, _ in found.failed] == ["b.mp4", "0.mp4@9-10", "none.mp4"]
    assert ["not a video" in found.failed[0][1], "before its time range" in found.failed[1][1]] == [True, True]
    assert done == [5]
    nothing = score_videos(Grey(), [items[0]], CLIP, HERE)
    assert (len(nothing.items), len(nothing.scores), len(nothing.failed)) == (0, 0, 1)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_video_is_scored_and_noted(tmp_path: Path, workers: int) -> None:
    path = write_grey(tmp_path / "v.mp4", 100, 110, 120, 130, 140, 150, size=(64, 64))
    with av.open(str(path)) as container:
        place, size = next((packet.pos, packet.size) for packet in container.demux(video=0) if packet.pts)
    data = path.read_bytes()
    path.write_bytes(data[:place] + bytes(size) + data[place + size :])
    found = score_videos(
        Grey(), [Item(path, "", name="v.mp4")], replace(CLIP, frames=6), replace(HERE, workers=workers)
    )
    assert len(found.items) == 1
    assert [key for key, _ in found.damaged] == ["v.mp4"]


def test_a_stretch_of_a_video_is_scored_on_its_own(tmp_path: Path) -> None:
    path = write_grey(tmp_path / "v.mp4", *[20] * 5, *[220] * 5)
    items = [Item(path, "", start=0.0, end=0.5), Item(path, "", start=0.5, end=1.0)]
    found = score_videos(Grey(), items, CLIP, HERE)
    torch.testing.assert_close(found.scores, expected([20, 220]), atol=0.01, rtol=0)


def test_the_model_is_left_as_it_was(tmp_path: Path) -> None:
    items = grey_items(tmp_path, [200])
    model = tiny().model
    model.config = replace(model.config, drop_path=0.9)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    one = score_videos(model.train(), items, CLIP, HERE)
    assert model.training and all(value.grad is None for value in model.parameters())
    two = score_videos(model.eval(), items, CLIP, HERE)
    assert not model.training and torch.equal(one.scores, two.scores)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_autocast_computes_coarsely_and_gives_float32() -> None:
    model, clips = tiny().model, torch.randn(3, 2, 3, 16, 16)
    exact, coarse = forward(model, clips, batch=2), forward(model, clips, batch=2, precision=torch.bfloat16)
    assert (exact.dtype, coarse.dtype, exact.requires_grad) == (torch.float32, torch.float32, False)
    assert not torch.equal(exact, coarse)
    torch.testing.assert_close(exact, coarse, atol=0.3, rtol=0.1)


def test_settings_that_can_not_work_are_refused() -> None:
    for settings, text in (
        ({"crops": 2}, "crops is 2; it must be 1 or 3"),
        ({"clips": 0}, "clips is 0"),
        ({"clips": 2, "placement": "whole"}, "clips is 2, but the placement 'whole'"),
        ({"batch": 0}, "batch is 0"),
        ({"workers": -2}, "workers is -2"),
    ):
        with pytest.raises(ConfigError, match=text):
            Scoring(**settings)  # type: ignore[arg-type]


def score_share(folder: Path, items: list[Item]) -> None:
    """One of several processes: scores its share and leaves what it got."""
    with joined() as world:
        model = Grey()
        found = score_videos(model, items, CLIP, HERE)
        torch.save((found.keys, found.scores, found.failed, model.sizes), folder / f"{world.rank}.pt")


def test_several_processes_share_the_videos_and_all_get_all_scores(tmp_path: Path) -> None:
    items = [*grey_items(tmp_path, [200, 20, 90, 120]), broken(tmp_path / "b.mp4")]
    alone: Scores = score_videos(Grey(), items, CLIP, HERE)
    together(score_share, 2, tmp_path, items)
    shares = []
    for rank in range(2):
        keys, scores, failed, sizes = torch.load(tmp_path / f"{rank}.pt")
        assert (keys, failed) == (alone.keys, alone.failed)
        assert torch.equal(scores, alone.scores)
        shares.append(sum(sizes))
    assert shares == [2, 2]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_single_picture_is_scored_and_remarked_on_but_not_damaged(tmp_path: Path, workers: int) -> None:
    still = Item(write_grey(tmp_path / "still.mp4", 90), "", name="still.mp4")
    found = score_videos(Grey(), [still, *grey_items(tmp_path, [200])], CLIP, replace(HERE, workers=workers))
    assert found.keys == ("still.mp4", "0.mp4") and found.damaged == ()
    assert found.remarks == (("still.mp4", "is a single picture: every frame of its clips is that one"),)
