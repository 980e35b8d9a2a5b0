"""Preprocessing travels: a video gets the same scores from weights of any origin and from all that they convert to."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.made_videos import encode
from tests.made_weights import KINETICS_CFG, mmaction, random_model, save_official
from timesformer.verbs.predict import Predictor
from timesformer.weights.formats.writing import write
from timesformer.weights.loading import load


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred frames in colour at another rate than the models', wider than high."""
    chance = np.random.default_rng(0)
    pictures = chance.integers(0, 256, (100, 6, 8, 3), dtype=np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    return encode(tmp_path_factory.mktemp("video") / "v.mp4", pictures, [number / 24 for number in range(100)], fps=24)


def scores(weights: Path, video: Path) -> tuple[float, ...]:
    return Predictor(weights, device="cpu")(video).scores


@pytest.mark.parametrize("origin", ["mmaction2", "something", "kinetics"])
def test_converted_weights_see_a_video_as_their_source_does(origin: str, video: Path, tmp_path: Path) -> None:
    kinetics = KINETICS_CFG.format(attention="divided_space_time")
    official = save_official(random_model(), tmp_path / "official.pyth", cfg=kinetics)
    if origin == "mmaction2":
        torch.save({"meta": {}, "state_dict": mmaction(random_model())}, tmp_path / "source.pth")
    else:
        cfg = kinetics.replace("kinetics", "ssv2") if origin == "something" else kinetics.replace("RATE: 16", "RATE: 5")
        save_official(random_model(), tmp_path / "source.pth", cfg=cfg)
    expected = scores(tmp_path / "source.pth", video)
    checkpoint = load(tmp_path / "source.pth")
    assert (checkpoint.clip.channels == "bgr") == (checkpoint.clip.sampling == "segments") == (origin == "something")
    for to in ("native", "huggingface", "official"):
        write(checkpoint, tmp_path / to, to=to)  # type: ignore[arg-type]
        assert scores(tmp_path / to, video) == expected
    difference = torch.tensor(expected) - torch.tensor(scores(official, video))  # of the same tensors
    assert difference.abs().max() > 1e-3
