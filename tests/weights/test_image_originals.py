"""The original files of DINO, DINOv2, MAE, DeiT III, OpenCLIP and timm are recognised by content and read exactly."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tests.made_weights import randomise
from tests.weights.test_image_families import CLIP, IMAGENET, SHAPE, clip, differ, features_of, images_of
from timesformer.weights.loading import load
from timesformer.weights.report import WeightsError

transformers = pytest.importorskip("transformers")
TO_TIMM = (
    (r"^(?:vit\.)?embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^(?:vit\.)?embeddings\.position_embeddings$", "pos_embed"),
    (r"^(?:vit\.)?embeddings\.", ""),
    (r"^(?:vit\.)?encoder\.layer\.", "blocks."),
    (r"attention\.output\.dense\.", "attn.proj."),
    (r"layernorm_before\.|norm1\.", "norm1."),
    (r"layernorm_after\.|norm2\.", "norm2."),
    (r"intermediate\.dense\.", "mlp.fc1."),
    (r"(?<=\d\.)output\.dense\.", "mlp.fc2."),
    (r"layer_scale([12])\.lambda1", r"ls\1.gamma"),
    (r"^(?:vit\.)?layernorm\.", "norm."),
)
TO_OPENCLIP = (
    (r"^vision_model\.embeddings\.patch_embedding\.", "visual.conv1."),
    (r"^vision_model\.embeddings\.position_embedding\.weight", "visual.positional_embedding"),
    (r"^vision_model\.embeddings\.class_embedding", "visual.class_embedding"),
    (r"^vision_model\.pre_layrnorm\.", "visual.ln_pre."),
    (r"^vision_model\.post_layernorm\.", "visual.ln_post."),
    (r"^vision_model\.encoder\.layers\.", "visual.transformer.resblocks."),
    (r"^text_model\.encoder\.layers\.", "transformer.resblocks."),
    (r"^text_model\.embeddings\.position_embedding\.weight", "positional_embedding"),
    (r"layer_norm([12])\.", r"ln_\1."),
    (r"self_attn\.in_proj\.", "attn.in_proj_"),
    (r"self_attn\.out_proj\.", "attn.out_proj."),
    (r"mlp\.fc1\.", "mlp.c_fc."),
    (r"mlp\.fc2\.", "mlp.c_proj."),
    (r"^visual_projection\.weight", "visual.proj"),
)
JOIN = r"(attention\.attention\.query|self_attn\.q_proj)\.(weight|bias)$"


def saved(model: nn.Module, folder: Path) -> dict[str, Tensor]:
    """The tensors of a model of transformers under the names that it saves."""
    model.save_pretrained(folder)  # type: ignore[operator]
    return load_file(folder / "model.safetensors")


def renamed(tensors: Mapping[str, Tensor], pairs: tuple[tuple[str, str], ...], joined: str) -> dict[str, Tensor]:
    """Tensors with queries, keys and values joined and with other names."""
    found: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if match := re.search(JOIN, name):
            ends = ("query", "key", "value") if "query" in name else ("q_proj", "k_proj", "v_proj")
            parts = [tensors[name.replace(ends[0], end)] for end in ends]
            name, value = f"{name[: match.start()]}{joined}{match[2]}", torch.cat(parts)
        elif re.search(r"(attention\.attention\.(key|value)|self_attn\.[kv]_proj)\.", name):
            continue
        for pattern, text in pairs:
            name = re.sub(pattern, text, name)
        found[name] = value
    return found


def timm(model: nn.Module, folder: Path) -> dict[str, Tensor]:
    return renamed(saved(model, folder), TO_TIMM, "attn.qkv.")


def made(name: str, config: str, **more: Any) -> nn.Module:
    """A small model of transformers with random values in every tensor."""
    settings = {**SHAPE, "patch_size": 16, "layer_norm_eps": 1e-6, **more}
    model: nn.Module = getattr(transformers, name)(getattr(transformers, config)(**settings))
    randomise(model)
    return model.eval()


def dinov2(registers: int = 0, **more: Any) -> nn.Module:
    kind = "Dinov2WithRegisters" if registers else "Dinov2"
    number = {"num_register_tokens": registers} if registers else {}
    sizes = {"patch_size": 14, "image_size": 70, "mlp_ratio": 2}
    return made(f"{kind}Model", f"{kind}Config", **{**sizes, **number, **more})


def check(path: Path, model: nn.Module, title: str, sizes: tuple[int, ...], mean: tuple[float, float, float]) -> Any:
    """Compare features at sizes with a model of transformers; returns the last report."""
    for size in sizes:
        loaded = load(path, scheme="space", frames=1, classes=2, size=size, heads=3)
        images = images_of(size)
        assert differ(loaded, features_of(model, images), images) < 1e-5
        assert loaded.clip.mean == mean and loaded.report is not None
        assert loaded.report.layout == f"image transformer, {title}"
    return loaded.report


@pytest.mark.parametrize("registers", [0, 4])
@pytest.mark.parametrize("chunked", [False, True])
def test_the_original_dinov2_file_with_and_without_registers(registers: int, chunked: bool, tmp_path: Path) -> None:
    model = dinov2(registers)
    tensors = timm(model, tmp_path / "folder")
    if chunked:  # as its training code saves: by chunk and block
        tensors = {re.sub(r"^blocks\.(\d+)\.", r"blocks.\1.\1.", name): value for name, value in tensors.items()}
        tensors = {f"backbone.{name}": value for name, value in tensors.items()}
    torch.save({"teacher": tensors} if chunked else tensors, tmp_path / "dinov2.pth")
    title = "DINOv2 with registers" if registers else "DINOv2"
    report = check(tmp_path / "dinov2.pth", model, title, (70, 42), IMAGENET)
    assert report.unused == ("backbone.mask_token" if chunked else "mask_token",)
    assert any("layer scale" in note for note in report.notes)
    assert any("offset of 0.1" in note for note in report.notes) == (not registers)


def test_timms_dinov2_with_registers_has_no_position_for_the_class_token(tmp_path: Path) -> None:
    model = dinov2(4)
    tensors = timm(model, tmp_path / "folder")
    rows = tensors["pos_embed"]
    tensors |= {"cls_token": tensors["cls_token"] + rows[:, :1], "pos_embed": rows[:, 1:].contiguous()}
    tensors["reg_token"] = tensors.pop("register_tokens")
    del tensors["mask_token"]
    save_file(tensors, tmp_path / "model.safetensors")
    stated = {"mean": list(IMAGENET), "std": [0.229, 0.224, 0.225], "input_size": [3, 70, 70]}
    config = {"architecture": "vit_small_patch14_reg4_dinov2", "pretrained_cfg": stated}
    (tmp_path / "config.json").write_text(json.dumps(config))
    report = check(tmp_path, model, "timm", (70, 42), IMAGENET)
    assert report.unused == ()


def test_registers_with_positions_of_their_own_get_them_added(tmp_path: Path) -> None:
    model = dinov2(2)
    tensors = timm(model, tmp_path / "folder")
    extra, rows = torch.randn(1, 2, 48), tensors["pos_embed"]
    tensors["reg_token"] = tensors.pop("register_tokens") - extra
    tensors["pos_embed"] = torch.cat([rows[:, :1], extra, rows[:, 1:]], dim=1)
    torch.save(tensors, tmp_path / "vit.pth")
    check(tmp_path / "vit.pth", model, "DINOv2 with registers", (70,), IMAGENET)


def test_deit_iii_has_layer_scale_and_no_position_for_the_class_token(tmp_path: Path) -> None:
    model: Any = dinov2(0, patch_size=16, image_size=64)
    model.embeddings.position_embeddings.data[:, 0] = 0
    tensors = timm(model, tmp_path / "folder")
    tensors = {re.sub(r"ls([12])\.gamma", r"gamma_\1", name): value for name, value in tensors.items()}
    tensors["pos_embed"] = tensors["pos_embed"][:, 1:].contiguous()
    del tensors["mask_token"]
    torch.save({"model": tensors}, tmp_path / "deit3.pth")
    report = check(tmp_path / "deit3.pth", model, "DeiT III", (64, 96), IMAGENET)
    assert report.unused == () and any("no_embed_class" in note for note in report.notes)


def test_the_original_mae_file_leaves_its_decoder_out(tmp_path: Path) -> None:
    model = made("ViTMAEModel", "ViTMAEConfig", mask_ratio=0.0)
    tensors = timm(model, tmp_path / "folder")
    decoder = {"mask_token": torch.ones(1, 1, 32), "decoder_pos_embed": torch.ones(1, 10, 32)}
    decoder["decoder_blocks.0.norm1.weight"] = torch.ones(32)
    torch.save({"model": {**tensors, **decoder}}, tmp_path / "mae.pth")
    report = check(tmp_path / "mae.pth", model, "MAE", (48, 80), IMAGENET)
    assert sorted(report.unused) == sorted(decoder)


def test_of_dinos_two_models_the_teacher_is_taken_with_imagenets_normalisation(tmp_path: Path) -> None:
    model = made("ViTModel", "ViTConfig", patch_size=8)
    tensors = timm(model, tmp_path / "folder")
    head = {"head.mlp.0.weight": torch.ones(8, 48), "head.last_layer.weight_v": torch.ones(9, 8)}
    teacher = {f"backbone.{name}": value for name, value in tensors.items() if not name.startswith("pooler")} | head
    student = {f"module.{name}": value + 1 for name, value in teacher.items()}
    torch.save({"student": student, "teacher": teacher, "epoch": 3}, tmp_path / "dino.pth")
    check(tmp_path / "dino.pth", model, "DINO", (48, 32), IMAGENET)


@pytest.mark.parametrize(
    ("kind", "act"),
    [("bare", "gelu"), *((kind, "quick_gelu") for kind in ("named", "openai", "stated", "timm"))],
)
def test_openclips_and_timms_clip_files(kind: str, act: str, tmp_path: Path) -> None:
    model: Any = clip(act=act)
    tensors = renamed(saved(model, tmp_path / "folder"), TO_OPENCLIP, "self_attn.in_proj.")
    path, title = tmp_path / "clip.pt", "OpenCLIP"
    if kind == "named":
        path = tmp_path / "ViT-B-32-quickgelu-openai.pt"
    elif kind == "openai":
        marks = {name: torch.tensor(3) for name in ("input_resolution", "context_length", "vocab_size")}
        tensors, title = {**tensors, **marks}, "CLIP of OpenAI"
    elif kind == "stated":
        vision = {"width": 48, "head_width": 16, "image_size": 96}
        config = {"model_cfg": {"quick_gelu": True, "vision_cfg": vision}, "preprocess_cfg": {"mean": list(CLIP)}}
        (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
        path, title = tmp_path / "open_clip_pytorch_model.bin", "CLIP of OpenAI"
    elif kind == "timm":
        tensors, path, title = timm_clip(tensors), tmp_path / "pytorch_model.bin", "CLIP of timm"
        config = {"architecture": "vit_base_patch32_clip_quickgelu_224", "mean": list(CLIP), "std": [0.2, 0.3, 0.4]}
        (tmp_path / "config.json").write_text(json.dumps(config))
    torch.save(tensors, path)
    images = images_of(96)
    given = tmp_path if kind in ("stated", "timm") else path
    loaded = load(given, scheme="space", frames=1, classes=2, heads=3)
    with torch.no_grad():
        assert differ(loaded, model.vision_model(images).pooler_output, images) < 1e-5
    assert loaded.clip.mean == CLIP and loaded.report is not None
    assert loaded.model.config.activation == act and loaded.model.config.norm_eps == 1e-5
    assert loaded.report.layout == f"image transformer, {title}"
    said = [note for note in loaded.report.notes if "GELU" in note]
    texts = {"bare": "no activation stated: GELU is assumed", "named": "QuickGELU, as the file's name says"}
    assert len(said) == (kind in texts) and all(note.startswith(texts[kind]) for note in said)
    other = load(given, frames=1, classes=2, heads=3, size=64)
    assert other.report is not None and other.report.resized[0].rule == "bicubic in 2-D with antialiasing"


def timm_clip(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """OpenCLIP's tensors under timm's names; its projection is a head without bias."""
    pairs = (
        ("class_embedding", "cls_token"),
        ("positional_embedding", "pos_embed"),
        ("conv1.", "patch_embed.proj."),
        ("ln_pre.", "norm_pre."),
        ("ln_post.", "norm."),
        ("transformer.resblocks.", "blocks."),
        ("ln_1.", "norm1."),
        ("ln_2.", "norm2."),
        ("in_proj_", "qkv."),
        ("out_proj.", "proj."),
        ("c_fc.", "fc1."),
        ("c_proj.", "fc2."),
    )
    found = {}
    for name, value in tensors.items():
        if not name.startswith("visual."):
            continue
        name = name.removeprefix("visual.")
        for theirs, ours in pairs:
            name = name.replace(theirs, ours)
        found["head.weight" if name == "proj" else name] = value
    found["cls_token"] = found["cls_token"][None, None]
    found["pos_embed"] = found["pos_embed"][None]
    return found


@pytest.mark.parametrize("kind", ["original", "timm"])
def test_dinov3_files_have_rotary_positions_and_no_bias_of_the_keys(kind: str, tmp_path: Path) -> None:
    model = made("DINOv3ViTModel", "DINOv3ViTConfig", num_register_tokens=4, layer_norm_eps=1e-5)
    theirs = saved(model, tmp_path / "folder")
    tensors: dict[str, Tensor] = {}
    pairs = (
        (r"^embeddings\.patch_embeddings\.", "patch_embed.proj."),
        (r"^embeddings\.register_tokens", "storage_tokens" if kind == "original" else "reg_token"),
        (r"^embeddings\.", ""),
        (r"^layer\.", "blocks."),
        (r"attention\.o_proj\.", "attn.proj."),
        (r"mlp\.up_proj\.", "mlp.fc1."),
        (r"mlp\.down_proj\.", "mlp.fc2."),
        (r"layer_scale([12])\.lambda1", r"ls\1.gamma" if kind == "original" else r"gamma_\1"),
    )
    for name, value in theirs.items():
        if re.search(r"attention\.[qkv]_proj\.", name):
            continue
        for pattern, text in pairs:
            name = re.sub(pattern, text, name)
        tensors[name] = value
    for block in range(2):
        weights = [theirs[f"layer.{block}.attention.{part}_proj.weight"] for part in "qkv"]
        query, value = (theirs[f"layer.{block}.attention.{part}_proj.bias"] for part in "qv")
        attention = f"blocks.{block}.attn."
        tensors[f"{attention}qkv.weight"] = torch.cat(weights)
        if kind == "original":
            tensors[f"{attention}qkv.bias"] = torch.cat([query, torch.full_like(query, torch.nan), value])
            tensors[f"{attention}qkv.bias_mask"] = torch.tensor([1.0, 0.0, 1.0]).repeat_interleave(48)
        else:
            tensors |= {f"{attention}q_bias": query, f"{attention}v_bias": value}
    if kind == "original":
        tensors["rope_embed.periods"] = (100 ** (torch.arange(4) / 4)).bfloat16()
    torch.save(tensors, tmp_path / "dinov3.pth")
    report = check(tmp_path / "dinov3.pth", model, "DINOv3", (48, 80), IMAGENET)
    assert set(report.unused) <= {"mask_token", "rope_embed.periods"}
    if kind == "original":
        torch.save({**tensors, "rope_embed.periods": torch.ones(4)}, tmp_path / "dinov3.pth")
        with pytest.raises(WeightsError, match="another base than 100"):
            load(tmp_path / "dinov3.pth", classes=2)
