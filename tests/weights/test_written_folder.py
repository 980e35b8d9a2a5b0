"""A folder written for transformers: same logits and scores there, bit for bit back here, or refused with a reason."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TimesformerForVideoClassification, pipeline

from tests import made_videos
from tests.made_weights import SMALL, random_clips, random_model
from timesformer.config.model import ClipConfig
from timesformer.verbs.predict import Predictor
from timesformer.weights.checkpoint import Checkpoint
from timesformer.weights.formats.writing import write
from timesformer.weights.loading import load
from timesformer.weights.report import WeightsError


@pytest.mark.parametrize(
    "kind", [{}, {"scheme": "joint"}, {"activation": "quick_gelu", "norm_eps": 1e-3}], ids=["divided", "joint", "clip"]
)
def test_a_written_folder_gives_the_same_logits_in_transformers_and_comes_back_bit_exact(
    kind: dict[str, Any], tmp_path: Path
) -> None:
    model = random_model(replace(SMALL, heads=4, drop_path=0.2, **kind))
    clip = ClipConfig(frames=6, size=48, rate=7, fps=24.0, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6), channels="bgr")
    written = Checkpoint(
        model, clip, labels=("LABEL_0", "b", "c", "d", "é"), task="regression", target_stats=((9.0, 0.5),) * 5
    )
    notes = write(written, tmp_path, to="huggingface")
    reference = TimesformerForVideoClassification.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        assert (reference(random_clips()).logits - model(random_clips())).abs().max() <= 1e-5
    assert reference.config.id2label[4] == "é"
    assert reference.config.problem_type == "regression"
    back = load(tmp_path)
    ours, again = model.state_dict(), back.model.state_dict()
    assert all(torch.equal(ours[name], again[name]) for name in ours)
    assert replace(back, model=model, report=None) == written
    assert back.model.config == model.config
    assert len(notes) == 3
    assert "BGR" in notes[1] and "x 0.5 + 9" in notes[2]


@pytest.mark.parametrize("older", ["processor_config.json", "model-00001-of-00002.safetensors", "pytorch_model.bin"])
def test_a_folder_with_older_files_that_readers_would_take_is_refused(older: str, tmp_path: Path) -> None:
    checkpoint = Checkpoint(random_model(), ClipConfig())
    write(checkpoint, tmp_path, to="huggingface")
    write(checkpoint, tmp_path, to="huggingface")
    (tmp_path / older).write_text("{}")
    with pytest.raises(WeightsError, match=f"already holds {older}"):
        write(checkpoint, tmp_path, to="huggingface")


def test_the_pipeline_of_transformers_gives_a_written_folders_scores(tmp_path: Path) -> None:
    """For as many frames as the pipeline takes, and a video of the model's size."""
    video = made_videos.write(tmp_path / "v.mp4", frames=8, size=(32, 32))
    clip = ClipConfig(size=32, rate=1, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    checkpoint = Checkpoint(random_model(replace(SMALL, frames=8)), clip, labels=("a", "b", "c", "d", "e"))
    write(checkpoint, tmp_path / "out", to="huggingface")
    answers = pipeline("video-classification", model=str(tmp_path / "out"))(str(video))
    expected = Predictor(checkpoint, device="cpu")(video).top()
    assert [answer["label"] for answer in answers] == [label for label, _ in expected]
    assert [answer["score"] for answer in answers] == pytest.approx([score for _, score in expected], abs=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scheme": "local_global"}, "it has no local_global attention"),
        ({"scheme": "axial"}, "it has no axial attention"),
        ({"scheme": "space"}, "one row of logits per frame"),
        ({"order": "space_first"}, "in one order only"),
        ({"order": "parallel"}, "in one order only"),
        ({"class_in_time": True}, "without the class token"),
        ({"position": "space"}, "always has position and time embeddings"),
        ({"size": (32, 16)}, "square frames only"),
        ({"pool": "last_blocks", "depth": 4}, "its head reads the class token alone"),
        ({"registers": 4}, "no register tokens and no LayerNorm before the first block"),
        ({"norm_pre": True}, "no register tokens and no LayerNorm before the first block"),
    ],
)
def test_models_that_transformers_can_not_express_are_refused_with_the_reason(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    checkpoint = Checkpoint(random_model(replace(SMALL, **change)), ClipConfig())
    with pytest.raises(WeightsError, match=message):
        write(checkpoint, tmp_path / "out", to="huggingface")
    assert not (tmp_path / "out").exists()
