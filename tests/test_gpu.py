"""What a GPU computes is what a CPU computes: logits, gradients, trainings and predictions."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests import made_trainings, reference
from timesformer.config.model import ModelConfig
from timesformer.model.transformer import TimeSformer

if not torch.cuda.is_available():
    pytest.skip("no CUDA device is there", allow_module_level=True)

GPU = torch.device("cuda")


def model(config: ModelConfig, dtype: torch.dtype = torch.float32) -> TimeSformer:
    made = TimeSformer(config).to(dtype)
    reference.randomise(made)
    return made.eval()


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    found, expected = found.detach().cpu().double(), expected.detach().double()
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("name", reference.EVERY)
def test_logits_of_every_scheme_are_those_of_float64_on_a_cpu(name: str) -> None:
    clips = torch.randn(3, 4, 3, 16, 24, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = model(reference.EVERY[name], torch.float64)(clips)
    assert relative(model(reference.EVERY[name]).to(GPU)(clips.float().to(GPU)), expected) < 2e-5


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", reference.STEPS)
def test_logits_under_autocast_stay_near(name: str, half: torch.dtype) -> None:
    clips = torch.randn(3, 4, 3, 16, 24, generator=torch.Generator().manual_seed(1))
    made = TimeSformer(reference.VARIANTS[name]).eval()
    expected = made(clips)
    with torch.autocast("cuda", dtype=half):
        found = made.to(GPU)(clips.to(GPU))
    assert relative(found, expected) < 5e-2


def test_more_groups_than_a_cuda_grid_takes_are_attended_in_parts() -> None:
    made = model(ModelConfig(frames=2, size=128, patch=4, width=16, depth=1, heads=2, classes=3)).to(GPU)
    clips = torch.randn(66, 2, 3, 128, 128, device=GPU)  # 66 x 1,024 positions, each a group of the time step
    with torch.no_grad():
        found = made(clips)
        expected = torch.cat([made(part) for part in clips.split(11)])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["divided", "joint", "axial"])
def test_gradients_are_those_of_a_cpu_with_recomputed_blocks_and_without(name: str) -> None:
    config = replace(reference.VARIANTS[name], width=64, drop_path=0.0)
    clips = torch.randn(8, 4, 3, 16, 24, generator=torch.Generator().manual_seed(1))
    found = []
    for device, checkpointing in ((torch.device("cpu"), 0), (GPU, 0), (GPU, -1)):
        torch.manual_seed(0)
        made = TimeSformer(config, checkpointing=checkpointing).to(device).train()
        made(clips.to(device)).logsumexp(-1).sum().backward()
        found.append({each: value.grad for each, value in made.named_parameters() if value.grad is not None})
    for other in found[1:]:
        assert other.keys() == found[0].keys()
        for each, gradient in found[0].items():
            torch.testing.assert_close(other[each].cpu(), gradient, rtol=1e-3, atol=1e-4, msg=each)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_training_on_a_gpu_learns_and_goes_on_from_its_saved_state(precision: str, tmp_path: Path) -> None:
    data = made_trainings.table(tmp_path / "videos")
    config = made_trainings.config(engine={"precision": precision}, optim={"epochs": 8})
    outcome = made_trainings.run(data, config, tmp_path / "run")
    assert outcome.rows[-1]["train_loss"] < outcome.rows[0]["train_loss"]
