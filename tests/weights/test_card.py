"""The model card shows any label as it is, and what it says to run gives the model's own answers in transformers."""

import contextlib
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from rich.markdown import Markdown
from transformers import pipeline

from tests import made_videos
from tests.made_weights import SMALL, random_model
from timesformer.config.model import ClipConfig
from timesformer.verbs.predict import Predictor
from timesformer.video import sampling
from timesformer.weights import card
from timesformer.weights.checkpoint import Checkpoint, save
from timesformer.weights.hub import HubCheckpoint
from timesformer.weights.loading import load
from timesformer.weights.report import WeightsError

HOSTILE = (
    "<script>alert(1)</script>",
    "[click](javascript:x)",
    "a\n\n# Heading | b",
    "`code` *bold* _it_ ~~no~~ &lt; @everyone $x$",
    "\x1b[31mred\x1b]0;title\x07",
)
CLIPS = {
    "dense": ClipConfig(frames=4, size=32, rate=5, fps=12.5, mean=(0.1, 0.2, 0.3)),
    "segments": ClipConfig(frames=4, size=32, sampling="segments"),
    "bgr": ClipConfig(frames=4, size=32, rate=3, channels="bgr", mean=(0.1, 0.2, 0.3), std=(0.2, 0.3, 0.4)),
    "longer than the video": ClipConfig(frames=4, size=32, rate=64),
}


def test_labels_of_any_kind_are_text_on_the_card_and_on_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = Checkpoint(random_model(), ClipConfig(frames=4, size=32), HOSTILE, about="by <b>me</b>\n# Title")
    HubCheckpoint(made).save_pretrained(tmp_path)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    body = text.split("---\n", 2)[2]
    assert not any(mark in body for mark in ("<script>", "<b>", "[click]", "\x1b", "\x07", "`code`", "*bold*"))
    headings = [line for line in body.splitlines() if line.startswith(("#", "##"))]
    assert not any("Heading" in line or "Title" in line for line in headings)
    shown = io.StringIO()
    Console(file=shown, width=4000).print(Markdown(body))
    for label in ("<script>alert(1)</script>", "[click](javascript:x)", "`code` *bold* _it_ ~~no~~ &lt; @everyone"):
        assert label in shown.getvalue()
    from timesformer.cli.main import main

    with pytest.raises(SystemExit) as done:
        main(["inspect", str(tmp_path)])
    printed = "".join(capsys.readouterr())
    assert done.value.code == 0 and "\x1b" not in printed and "\x07" not in printed and r"\x1b[31mred" in printed


def test_names_in_errors_and_reports_hold_nothing_that_a_terminal_obeys(tmp_path: Path) -> None:
    from tests.made_weights import vit

    torch.save({**vit(), "\x1b[2Jloss": torch.ones(1)}, tmp_path / "w.pth")
    report = load(tmp_path / "w.pth").report
    assert report is not None and r"\x1b[2Jloss" in "\n".join(report.lines())
    torch.save({**vit(), "blocks.0.attn.\x1b[2J": torch.ones(1)}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"\\x1b\[2J"):
        load(tmp_path / "w.pth")


@pytest.mark.parametrize("kind", list(CLIPS))
@pytest.mark.parametrize("task", ["classes", "multilabel", "regression"])
def test_the_cards_program_gives_our_answers_in_transformers(kind: str, task: Any, tmp_path: Path) -> None:
    frames = np.zeros((40, 32, 32, 3), dtype=np.uint8)
    frames[:, :, :, :] = np.arange(40, dtype=np.uint8)[:, None, None, None] * 6
    frames[:, :, 16:, 0] = 255 - frames[:, :, 16:, 0]
    frames[:, 8:, :, 2] //= 3
    video = tmp_path / "video.mp4"
    made_videos.encode(video, frames, np.arange(40) / 12.5, fps=12.5)
    target_stats = ((9.0, 0.5), (1.0, 2.0), (0.0, 1.0), (3.0, 3.0), (5.0, 1.5)) if task == "regression" else ()
    made = Checkpoint(random_model(), CLIPS[kind], ("a", "b", "c", "d", "e"), task, target_stats=target_stats)
    HubCheckpoint(made).save_pretrained(tmp_path / "folder")
    text = (tmp_path / "folder" / "README.md").read_text(encoding="utf-8")
    program = text.split("```python\n")[-1].split("```")[0]
    assert program == card.snippet(made)
    program = program.replace("NAME_OR_FOLDER", str(tmp_path / "folder")).replace("video.mp4", str(video))
    printed = io.StringIO()
    known: dict[str, Any] = {}
    with contextlib.redirect_stdout(printed):
        exec(compile(program, "card", "exec"), known)
    expected = Predictor(made, device="cpu", crops=1)(video)
    assert known["numbers"] == sampling.views(40, 12.5, made.clip)[0].tolist()
    # its decoder rounds colours otherwise than ours: by a grey level or two
    assert known["scores"].tolist() == pytest.approx(list(expected.scores), abs=4e-3 * (1 if not target_stats else 3))
    assert set(printed.getvalue().split()[::2]) == set(made.labels)
    if kind == "bgr":
        swapped = Predictor(replace(made, clip=replace(made.clip, channels="rgb")), device="cpu", crops=1)(video)
        assert max(abs(a - b) for a, b in zip(swapped.scores, expected.scores, strict=True)) > 0.02
    if kind == "segments" and task == "classes":  # what the card warns of
        answers = pipeline("video-classification", model=str(tmp_path / "folder"))(str(video))
        theirs = {answer["label"]: answer["score"] for answer in answers}
        assert (
            max(abs(theirs[label] - score) for label, score in zip(expected.labels, expected.scores, strict=True))
            > 0.01
        )
        assert "takes the first 4 frames of a video" in text


def test_a_folder_of_our_own_layout_has_our_program_alone(tmp_path: Path) -> None:
    made = Checkpoint(random_model(replace(SMALL, scheme="axial")), ClipConfig(frames=4, size=32))
    HubCheckpoint(made).save_pretrained(tmp_path)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "transformers" not in text.split("---\n", 2)[2] and "timesformer.Predictor" in text


def test_image_sizes_of_every_kind_in_a_config_are_read_or_refused(tmp_path: Path) -> None:
    import json

    from transformers import TimesformerConfig, TimesformerForVideoClassification

    config = TimesformerConfig(
        image_size=[16, 64], patch_size=8, num_frames=2, hidden_size=64, num_hidden_layers=1, num_attention_heads=1
    )
    model = TimesformerForVideoClassification(config).eval()
    torch.nn.init.normal_(model.timesformer.embeddings.position_embeddings)
    model.save_pretrained(tmp_path)
    loaded = load(tmp_path)
    assert loaded.model.config.size == loaded.clip.size == (16, 64)  # not the square of as many patches
    position = model.timesformer.embeddings.position_embeddings
    assert torch.equal(loaded.model.state_dict()["embedding.position"], position)  # transformers itself can't run it
    stated = json.loads((tmp_path / "config.json").read_text())
    for value, size in (({"height": 16, "width": 64}, (16, 64)), ([32], 32), (32, 32)):
        (tmp_path / "config.json").write_text(json.dumps(stated | {"image_size": value}))
        assert load(tmp_path).model.config.size == size
    for value in ([], [16, "x"], "16", None, -1, [1, 2, 3], {"height": [16]}, 1.5, True):
        (tmp_path / "config.json").write_text(json.dumps(stated | {"image_size": value}))
        with pytest.raises(WeightsError, match="image_size"):
            load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(stated))
    for name in ("size", "crop_size"):
        for value in ([], [16], {"shortest_edge": [16]}, {"height": {}}, "x", None, True):
            (tmp_path / "preprocessor_config.json").write_text(json.dumps({name: value}))
            assert isinstance(load(tmp_path), Checkpoint)
    for value in ([10**400] * 3, [1e-320] * 3, "x", [[1], [2], [3]]):
        (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5] * 3, "image_std": value}))
        with pytest.raises(WeightsError):
            load(tmp_path)


def test_descriptions_that_claim_what_no_machine_can_do_are_refused_when_loaded(tmp_path: Path) -> None:
    import json

    from safetensors.torch import load_file

    from timesformer.weights.checkpoint import KEY, describe, write_tensors
    from timesformer.weights.metadata import to_json

    made = Checkpoint(random_model(), ClipConfig(frames=4, size=32))
    save(made, tmp_path / "w")
    tensors, said = load_file(tmp_path / "w"), json.loads(to_json(describe(made)))
    for section, change in (
        ("clip", {"frames": 10**9}),
        ("clip", {"fps": 1e-308}),
        ("clip", {"fps": 1e308}),
        ("clip", {"rate": 10**12}),
        ("clip", {"size": 10**7}),
        ("clip", {"std": [1e-308] * 3}),
        ("clip", {"mean": [1e300] * 3}),
        ("model", {"frames": 10**9}),
        ("model", {"size": 10**9}),
        ("model", {"position": "none", "size": 8 * 10**6}),
        ("model", {"mlp_ratio": 1e300}),
        ("model", {"heads": 0}),
    ):
        text = json.dumps(said | {section: said[section] | change})
        write_tensors(tensors, tmp_path / "bad", {KEY: text})
        with pytest.raises(WeightsError):
            load(tmp_path / "bad")


def test_a_converted_folder_has_the_card_unless_somebody_wrote_one(tmp_path: Path) -> None:
    from timesformer.weights.formats.writing import write

    for labels in (HOSTILE, ("a", "b", "c", "d", "e")):
        made = Checkpoint(random_model(), CLIPS["segments"], labels)
        write(made, tmp_path, to="huggingface")
        text = (tmp_path / "README.md").read_text(encoding="utf-8")
        assert card.snippet(made) in text and ", ".join(map(card.shown, labels)) in text
    (tmp_path / "README.md").write_text("mine")
    write(made, tmp_path, to="huggingface")
    assert (tmp_path / "README.md").read_text() == "mine"
