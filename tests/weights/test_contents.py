"""What a file of weights is, is told by its tensors' names, whatever wraps them; of several models one is named."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.made_weights import KINETICS_CFG, SMALL, mmaction, official, random_model, same_logits, vit
from timesformer.weights.loading import load, start
from timesformer.weights.report import WeightsError

IMAGE = replace(SMALL, scheme="space")
PREFIXES = (
    "module.",
    "model.",
    "_orig_mod.",
    "net.",
    "backbone.",
    "encoder.",
    "module.base_encoder.",
    "visual.trunk.",
    "model._orig_mod.module.",
    "_forward_module.model.backbone.net.",
)


def other(seed: int) -> dict[str, Tensor]:
    """An image model's tensors, of other values for each seed."""
    return official(random_model(IMAGE, seed))


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}{name}": value for name, value in tensors.items()}


def is_from(path: Path, tensors: dict[str, Tensor], **wanted: Any) -> bool:
    """Whether what is loaded started from these tensors, as a video model that sees time."""
    loaded = load(path, **wanted)
    weight = loaded.model.state_dict()["blocks.1.steps.space.qkv.weight"]
    return loaded.model.config.scheme == "divided" and torch.equal(weight, tensors["blocks.1.attn.qkv.weight"])


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("wrapper", ["", "state_dict", "safetensors"])
def test_an_image_model_is_one_under_any_prefix_and_wrapper(prefix: str, wrapper: str, tmp_path: Path) -> None:
    tensors = under(prefix, vit())
    path = tmp_path / "w"
    if wrapper == "safetensors":
        save_file({name: value.contiguous() for name, value in tensors.items()}, path)
    else:
        torch.save({wrapper: tensors, "epoch": 3} if wrapper else tensors, path)
    loaded = load(path)
    bare = tmp_path / "bare"
    torch.save(vit(), bare)
    expected = load(bare)
    assert loaded.model.config == expected.model.config and loaded.model.config.scheme == "divided"
    assert same_logits(loaded.model, expected.model)
    assert loaded.report is not None and "image transformer" in loaded.report.layout
    assert any("taken for an image model" in note for note in loaded.report.notes)


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("kind", ["official", "mmaction2", "huggingface", "huggingface bare"])
def test_a_video_model_is_one_under_any_prefix(kind: str, prefix: str, tmp_path: Path) -> None:
    from transformers import TimesformerConfig, TimesformerForVideoClassification

    torch.manual_seed(0)
    if kind.startswith("huggingface"):
        config = TimesformerConfig(
            image_size=32, patch_size=8, num_frames=4, hidden_size=64, num_hidden_layers=2, num_attention_heads=1
        )
        model = TimesformerForVideoClassification(config)
        for value in model.parameters():
            nn.init.normal_(value, std=0.1)
        names = dict(model.state_dict() if kind == "huggingface" else model.timesformer.state_dict())
        qkv, ours = "encoder.layer.1.temporal_attention.attention.qkv.weight", "blocks.1.steps.time.qkv.weight"
    else:
        names = official(random_model()) if kind == "official" else mmaction(random_model())
        qkv = "blocks.1.temporal_attn.qkv.weight"
        qkv = qkv if kind == "official" else "layers.1.attentions.0.attn.in_proj_weight"
        ours = "blocks.1.steps.time.qkv.weight"
    torch.save({"state_dict": under(prefix, names)}, tmp_path / "w")
    loaded = load(tmp_path / "w", classes=2)
    assert loaded.model.config.scheme == "divided"
    wanted = next(value for name, value in names.items() if name.endswith(qkv))
    assert torch.equal(loaded.model.state_dict()[ours], wanted)
    assert loaded.report is not None and "image" not in loaded.report.layout


def test_a_space_model_is_told_by_the_official_codes_own_signs_not_by_a_prefix(tmp_path: Path) -> None:
    names = under("model.", official(random_model(IMAGE)))
    cfg = KINETICS_CFG.format(attention="space_only")
    for content, scheme in (
        ({"model_state": names}, "space"),
        ({"state_dict": names, "cfg": cfg}, "space"),
        ({"state_dict": names}, "divided"),
        (names, "divided"),
    ):
        torch.save(content, tmp_path / "w")
        assert load(tmp_path / "w").model.config.scheme == scheme
        assert load(tmp_path / "w", scheme="space").model.config.scheme == "space"
    recogniser = mmaction(random_model(IMAGE))
    torch.save({"state_dict": recogniser}, tmp_path / "w")
    assert load(tmp_path / "w").model.config.scheme == "space"
    trunk = {name: value for name, value in recogniser.items() if "cls_head" not in name}
    torch.save({"state_dict": trunk}, tmp_path / "w")
    assert load(tmp_path / "w", classes=5).model.config.scheme == "divided"


def test_foreign_tensors_beside_a_model_are_left_out_and_named(tmp_path: Path) -> None:
    beside = {"loss.weight": torch.ones(5), "model_head.0.weight": torch.ones(2, 2), "n_averaged": torch.tensor(3)}
    for prefix in ("", "model.", "module.net."):
        torch.save({"state_dict": {**under(prefix, vit()), **beside}}, tmp_path / "w")
        report = load(tmp_path / "w").report
        assert report is not None and set(report.unused) == set(beside)
    parts = {**under("model.", vit()), "model.head2.weight": torch.ones(2)}
    torch.save(parts, tmp_path / "w")
    report = load(tmp_path / "w").report
    assert report is not None and report.unused == ("model.head2.weight",)  # by its own name


def test_what_compilers_and_wrappers_put_in_the_middle_of_names_is_left_out(tmp_path: Path) -> None:
    names = {
        name.replace("blocks.1.", "blocks.1._checkpoint_wrapped_module.").replace("attn.", "attn._orig_mod."): value
        for name, value in official(random_model()).items()
    }
    torch.save({"model_state": under("_fsdp_wrapped_module.", names)}, tmp_path / "w")
    loaded = load(tmp_path / "w")
    assert same_logits(loaded.model, random_model()) and loaded.report is not None and not loaded.report.unused


A, B = other(1), other(2)
SEVERAL: dict[str, tuple[dict[str, Any], str, str]] = {
    "dino": (
        {"student": under("module.backbone.", B), "teacher": under("backbone.", A), "epoch": 3},
        "teacher.backbone",
        "student",
    ),
    "timm": ({"state_dict": A, "state_dict_ema": B, "arch": "vit"}, "state_dict", "state_dict_ema"),
    "ema first": ({"model_ema": B, "model": A, "optimizer": {"state": {0: {"exp_avg": A}}}}, "model", "model_ema"),
    "moco": (
        {"state_dict": {**under("module.base_encoder.", A), **under("module.momentum_encoder.", B)}},
        "state_dict.module.base_encoder",
        "momentum_encoder",
    ),
    "nested": ({"ema": {"shadow": B}, "net": {"params": A}}, "net.params", "ema.shadow"),
    "averaged": ({**under("online.", A), **under("ema_model.module.", B)}, "online", "ema_model"),
}


@pytest.mark.parametrize("kind", list(SEVERAL))
def test_of_several_models_the_choice_is_said_and_key_takes_another(kind: str, tmp_path: Path) -> None:
    content, usual, key = SEVERAL[kind]
    path = tmp_path / "w.pth"
    torch.save(content, path)
    assert is_from(path, A)
    report = load(path).report
    assert report is not None
    (said,) = (note for note in report.notes if "taken" in note and "holds" in note)
    assert said.startswith(f"{usual} taken; the file also holds ") and key in said and "--key" in said
    assert is_from(path, B, key=key)
    assert is_from(path, A, key=usual)
    with pytest.raises(WeightsError, match=r"no model named 'optimizer'; it holds .*: name one of these"):
        load(path, key="optimizer")
    started = start(path, replace(SMALL, classes=5), key=key)
    assert torch.equal(started.model.state_dict()["blocks.0.steps.space.proj.weight"], B["blocks.0.attn.proj.weight"])


def test_where_several_models_have_equal_rights_one_must_be_named(tmp_path: Path) -> None:
    torch.save({"a": A, "b": B}, tmp_path / "w")
    with pytest.raises(WeightsError, match=r"holds several models: a, b; say which one: key=NAME"):
        load(tmp_path / "w")
    assert is_from(tmp_path / "w", B, key="b")


def test_files_without_a_model_are_answered_with_the_keys_that_are_there(tmp_path: Path) -> None:
    for content, words in (
        ({"epoch": 3, "best": 0.5}, "its keys: epoch, best"),
        (
            {"resnet": {"layer1.0.conv1.weight": torch.ones(3)}, "epoch": 1},
            r"conv1\.weight, under the keys resnet, epoch",
        ),
        ({"weights": random_model().state_dict(), "state": {}}, "timesformer's own without their description"),
        ({"layers.0.block.attn.qkv.weight": torch.ones(3)}, "no known layout"),
    ):
        torch.save(content, tmp_path / "w")
        with pytest.raises(WeightsError, match=words):
            load(tmp_path / "w")
    save_file({"blocks.0.attn.qkv.weight": torch.ones(3)}, tmp_path / "w")
    with pytest.raises(WeightsError, match="no known layout"):
        load(tmp_path / "w")


def test_a_key_for_a_file_of_one_model_without_a_name_is_refused(tmp_path: Path) -> None:
    from timesformer.config.model import ClipConfig
    from timesformer.weights.checkpoint import Checkpoint, save

    save(Checkpoint(random_model(), ClipConfig(frames=4, size=32)), tmp_path / "w")
    with pytest.raises(WeightsError, match="leave key 'teacher' "):
        load(tmp_path / "w", key="teacher")


class Image(nn.Module):
    """As much of timm's vision transformer as an adapter needs: modules of its names."""

    def __init__(self) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.randn(1, 1, 64))
        self.pos_embed = nn.Parameter(torch.randn(1, 17, 64))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, 64, 8, 8)})
        block = {"norm1": nn.LayerNorm(64), "norm2": nn.LayerNorm(64)}
        block |= {"attn": nn.ModuleDict({"qkv": nn.Linear(64, 192), "proj": nn.Linear(64, 64)})}
        block |= {"mlp": nn.ModuleDict({"fc1": nn.Linear(64, 96), "fc2": nn.Linear(96, 64)})}
        self.blocks = nn.ModuleList([nn.ModuleDict(block)])
        self.norm, self.head = nn.LayerNorm(64), nn.Linear(64, 5)


def test_a_peft_adapter_is_recognised_and_its_merging_works_as_explained(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    adapted: Any = get_peft_model(Image(), LoraConfig(r=2, target_modules=["qkv"], init_lora_weights=False))
    adapted.save_pretrained(tmp_path / "adapter")
    torch.save(adapted.state_dict(), tmp_path / "unmerged.pth")
    for path in ("adapter", "adapter/adapter_model.safetensors", "unmerged.pth"):
        with pytest.raises(WeightsError, match=r"is a peft adapter.*merge_and_unload"):
            load(tmp_path / path)
    merged = adapted.merge_and_unload()
    torch.save(merged.state_dict(), tmp_path / "merged.pth")
    loaded = load(tmp_path / "merged.pth")
    assert torch.equal(loaded.model.state_dict()["blocks.0.steps.time.qkv.weight"], merged.blocks[0].attn.qkv.weight)


def test_heads_that_the_file_leaves_open_are_the_users(tmp_path: Path) -> None:
    torch.save(vit(replace(SMALL, heads=4)), tmp_path / "vit.pth")
    guessed, told = load(tmp_path / "vit.pth"), load(tmp_path / "vit.pth", heads=4)
    assert (guessed.model.config.heads, told.model.config.heads) == (1, 4)
    assert guessed.report is not None and told.report is not None
    assert any("heads not stated: 1 assumed" in note for note in guessed.report.notes)
    assert not any("heads" in note for note in told.report.notes)
    started = start(tmp_path / "vit.pth", replace(SMALL, heads=2))
    assert started.model.config.heads == 2
    for heads, message in ((7, "not divisible"), ("4", "heads is '4'"), (True, "heads is True")):
        with pytest.raises(WeightsError, match=message):
            load(tmp_path / "vit.pth", heads=heads)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="did you mean heads"):
        load(tmp_path / "vit.pth", head=4)  # type: ignore[call-arg]


def test_a_guess_of_heads_divides_every_width(tmp_path: Path) -> None:
    for width in (100, 200, 384, 1280):
        config = replace(SMALL, width=width, heads=1, depth=1, scheme="space")
        torch.save(vit(config), tmp_path / "vit.pth")
        assert width % load(tmp_path / "vit.pth").model.config.heads == 0


def test_heads_that_the_file_states_stay(tmp_path: Path) -> None:
    from timesformer.config.model import ClipConfig
    from timesformer.weights.checkpoint import Checkpoint, save

    save(Checkpoint(random_model(replace(SMALL, heads=4)), ClipConfig(frames=4, size=32)), tmp_path / "w")
    assert load(tmp_path / "w", heads=4).model.config.heads == 4
    with pytest.raises(WeightsError, match="states 4 heads, not 2"):
        load(tmp_path / "w", heads=2)


def test_a_timm_folder_that_states_heads_or_another_activation_is_believed(tmp_path: Path) -> None:
    import json

    save_file({name: value.contiguous() for name, value in vit().items()}, tmp_path / "model.safetensors")
    stated = {"architecture": "vit_tiny_clip_quickgelu_32", "model_args": {"num_heads": 4}}
    (tmp_path / "config.json").write_text(json.dumps(stated))
    loaded = load(tmp_path)
    assert loaded.model.config.heads == 4 and loaded.report is not None
    assert loaded.model.config.activation == "quick_gelu"
    assert not any("heads not stated" in note for note in loaded.report.notes)
    for heads in (0, -1, "4", None, 2.5, [4], True):
        (tmp_path / "config.json").write_text(json.dumps({"model_args": {"num_heads": heads}}))
        assert load(tmp_path).model.config.heads == 1


def test_labels_from_a_file_may_name_outputs_but_not_swap_those_that_have_names(tmp_path: Path) -> None:
    names = ["a", "b", "c", "d", "e"]
    torch.save({"meta": {"CLASSES": names}, "state_dict": mmaction(random_model())}, tmp_path / "w.pth")
    for lines, refused in (
        (["a", "b", "c", "d", "e"], False),
        (["A", "B", "other", "d", "e"], False),
        (["b", "a", "c", "d", "e"], True),
        (["x", "y", "z", "v", "c"], True),
    ):
        (tmp_path / "labels.txt").write_text("\n".join(lines))
        if refused:
            with pytest.raises(WeightsError, match="has its own names in another order"):
                load(tmp_path / "w.pth", labels=tmp_path / "labels.txt")
        else:
            assert load(tmp_path / "w.pth", labels=tmp_path / "labels.txt").labels == tuple(lines)


def test_settings_beside_a_model_deep_in_a_file_are_found(tmp_path: Path) -> None:
    cfg = KINETICS_CFG.format(attention="space_only")
    names = under("module.model.", official(random_model(IMAGE)))
    torch.save({"run": {"weights": names, "cfg": cfg}, "epoch": 3}, tmp_path / "w")
    loaded = load(tmp_path / "w")
    assert (loaded.model.config.scheme, loaded.clip.rate) == ("space", 16)


def test_safetensors_whose_header_length_begins_like_a_pickle_are_read(tmp_path: Path) -> None:
    save_file({name: value.contiguous() for name, value in vit().items()}, tmp_path / "w")
    data = (tmp_path / "w").read_bytes()
    length, longer = int.from_bytes(data[:8], "little"), 0x10580  # a pickle of protocol 5 begins with 0x80 0x05
    header = data[8 : 8 + length].ljust(longer)
    (tmp_path / "w").write_bytes(longer.to_bytes(8, "little") + header + data[8 + length :])
    assert load(tmp_path / "w").report is not None
