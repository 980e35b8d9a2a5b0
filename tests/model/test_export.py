"""A model goes through torch.export once, for batches of any size, whatever its scheme."""

import warnings
from dataclasses import replace

import pytest
import torch
from torch.export import Dim, export

from tests import reference
from timesformer.model.keywords import keyword_safe
from timesformer.model.transformer import TimeSformer


@pytest.mark.parametrize(
    ("name", "size"), [*((name, (16, 24)) for name in reference.EVERY), ("divided", (64, 80)), ("joint", (64, 80))]
)
def test_an_exported_program_equals_the_model_for_any_batch(name: str, size: tuple[int, int]) -> None:
    model = TimeSformer(replace(reference.EVERY[name], size=size, depth=1)).eval()
    reference.randomise(model)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of torch about itself
        program = export(model, (torch.randn(2, 4, 3, *size),), dynamic_shapes=({0: Dim("batch")},)).module()
        for batch in (1, 2, 5):
            clips = torch.randn(batch, 4, 3, *size)
            torch.testing.assert_close(program(clips), model(clips), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["divided", "space", "joint", "axial", "space_like_clip", "divided_like_dinov3"])
def test_frames_and_size_may_be_dynamic_too(name: str) -> None:
    model = TimeSformer(replace(reference.EVERY[name], depth=1)).eval()
    reference.randomise(model)
    shapes = {0: Dim("batch"), 1: Dim("frames", max=64), 3: 4 * Dim("rows", max=64), 4: 4 * Dim("columns", max=64)}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = export(model, (torch.randn(2, 6, 3, 32, 20),), dynamic_shapes=(shapes,)).module()
        for shape in ((1, 4, 3, 16, 24), (3, 7, 3, 24, 16), (2, 6, 3, 32, 20)):
            clips = torch.randn(*shape)
            torch.testing.assert_close(program(clips), model(clips), rtol=1e-5, atol=1e-5)


def test_only_paths_with_keywords_are_written_in_another_way() -> None:
    path = keyword_safe(lambda base, target: f"{base}|{target}")
    assert path("self", "blocks.0.norm") == "self|blocks.0.norm"
    assert path("self", "blocks.0.global.norm") == 'getattr(getattr(self.blocks, "0"), "global").norm'
