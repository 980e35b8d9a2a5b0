"""Vectors of frames and blocks are those that the model computes on the way to its features."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.made_scores import tiny
from timesformer.config.model import Scheme
from timesformer.features import kinds
from timesformer.model.transformer import TimeSformer


def model(scheme: Scheme, *, registers: int = 0) -> TimeSformer:
    """A tiny model of a scheme with random values."""
    made = TimeSformer(replace(tiny().model.config, scheme=scheme, registers=registers, depth=3, drop_path=0.0))
    torch.manual_seed(1)
    for value in made.parameters():
        torch.nn.init.normal_(value, std=0.3)
    return made.eval()


CLIPS = torch.randn(2, 2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("registers", [0, 2])
@torch.no_grad()
def test_in_the_space_scheme_a_frame_has_the_features_of_that_frame_alone(registers: int) -> None:
    space = model("space", registers=registers)
    found = kinds.of_frames(space, CLIPS)
    alone = torch.stack([space.features(CLIPS[:, number : number + 1]) for number in range(2)], dim=1)
    torch.testing.assert_close(found, alone, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("registers", [0, 2])
@torch.no_grad()
def test_in_other_schemes_a_frame_has_the_mean_of_its_patches(registers: int) -> None:
    divided = model("divided", registers=registers)
    tokens = divided.lower(CLIPS, 3)[:, 1 + registers :]
    for frame in range(2):  # 2 x 2 patches of each frame
        wanted = divided.norm(sum(tokens[:, 4 * frame + place] for place in range(4)) / 4)
        torch.testing.assert_close(kinds.of_frames(divided, CLIPS)[:, frame], wanted, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("scheme", ["space", "joint", "divided", "local_global", "axial"])
@torch.no_grad()
def test_the_last_block_has_the_features_and_the_others_those_of_a_shorter_model(scheme: Scheme) -> None:
    whole = model(scheme)
    found = kinds.of_blocks(whole, CLIPS)
    assert found.shape == (2, 3, 8)
    torch.testing.assert_close(found[:, -1], whole.features(CLIPS), atol=1e-6, rtol=1e-5)
    shorter = model(scheme)
    shorter.load_state_dict(whole.state_dict())
    shorter.blocks = shorter.blocks[:1]
    torch.testing.assert_close(found[:, 0], shorter.features(CLIPS), atol=1e-6, rtol=1e-5)
    assert not whole.blocks[0]._forward_hooks


def test_crops_are_averaged_and_times_are_those_of_first_and_last_frame() -> None:
    outputs = torch.arange(8.0).reshape(4, 2)  # two clips of two crops
    times = np.array([[0.0, 0.4], [1.0, 1.4]])
    video = kinds.rows(outputs, times, "video", crops=2)
    assert (video.vectors.tolist(), video.times.tolist()) == ([[3.0, 4.0]], [[0.0, 1.4]])
    clip = kinds.rows(outputs, times, "clip", crops=2)
    assert (clip.vectors.tolist(), clip.times.tolist()) == ([[1, 2], [5, 6]], [[0, 0.4], [1, 1.4]])
    frame = kinds.rows(outputs[..., None].expand(4, 2, 3), times, "frame", crops=2)
    assert frame.vectors[:, 0].tolist() == [1, 2, 5, 6]
    assert (frame.times[:, 0].tolist(), frame.places.tolist()) == ([0, 0.4, 1, 1.4], [0, 1, 2, 3])
    block = kinds.rows(outputs[..., None].expand(4, 2, 3), times, "block", crops=2)
    assert (block.vectors[:, 0].tolist(), block.times.tolist()) == ([3, 4], [[0, 1.4]] * 2)
