"""Relevance of a trained model: it finds the one patch and the one frame that decide."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from timesformer.config.model import ModelConfig
from timesformer.model import relevance
from timesformer.model.transformer import TimeSformer

CONFIG = ModelConfig(
    frames=4, size=16, patch=4, width=32, depth=2, heads=2, classes=3, drop_path=0, weight_init="scratch"
)
PATCHES = 4 * 4 * 4
Found = Callable[[TimeSformer, Tensor, Tensor], Tensor]


def draw(count: int, *, seed: int, marks: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Clips of noise with a patch of red, green or blue: (b, t, 3, h, w), its class and its place (b, marks) each."""
    generator = torch.Generator().manual_seed(seed)
    clips = 0.5 * torch.randn(count, 4, 3, 16, 16, generator=generator)
    classes = torch.stack([torch.randperm(3, generator=generator)[:marks] for _ in range(count)])
    places = torch.stack([torch.randperm(PATCHES, generator=generator)[:marks] for _ in range(count)])
    for number in range(count):
        for colour, place in zip(classes[number].tolist(), places[number].tolist(), strict=True):
            frame, row, column = place // 16, place // 4 % 4 * 4, place % 4 * 4
            clips[number, frame, colour, row : row + 4, column : column + 4] += 2
    return clips, classes, places


@pytest.fixture(scope="module")
def trained() -> TimeSformer:
    """A model that tells the colours apart: a few seconds."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = TimeSformer(CONFIG)
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for step in range(120):
        clips, classes, _ = draw(32, seed=step)
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(clips), classes[:, 0]).backward()
        optimiser.step()
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def untrained() -> TimeSformer:
    torch.manual_seed(0)
    return TimeSformer(CONFIG).eval()


METHODS: dict[str, Found] = {
    "rollout": lambda model, clips, _: relevance.rollout(model, clips).patches,
    "of_class": lambda model, clips, classes: relevance.of_class(model, clips, classes).patches,
}
every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


def mass(found: Tensor, places: Tensor) -> Tensor:
    """The share at a place of the relevance of all patches: (b, t, rows, columns), (b,) -> (b,)."""
    return found.flatten(1).gather(1, places[:, None])[:, 0] / found.sum(dim=(1, 2, 3))


def test_the_trained_model_tells_the_colours_apart(trained: TimeSformer) -> None:
    clips, classes, _ = draw(64, seed=10**6)
    assert (trained(clips).argmax(dim=1) == classes[:, 0]).float().mean() > 0.9


@every_method
def test_a_trained_model_points_at_the_patch_that_decides_and_an_untrained_one_does_not(
    method: Found, trained: TimeSformer, untrained: TimeSformer
) -> None:
    clips, classes, places = draw(64, seed=10**6)
    of_trained, of_untrained = (method(model, clips, classes[:, 0]) for model in (trained, untrained))
    last = relevance.last_attention(trained, clips).patches
    at = places[:, 0]
    assert mass(of_trained, at).mean() > 10 / PATCHES
    assert 0.5 / PATCHES < mass(of_untrained, at).mean() < 2 / PATCHES
    assert mass(of_trained, at).mean() > 1.5 * mass(last, at).mean()
    hits = (of_trained.flatten(1).argmax(dim=1) == at).float().mean()
    assert hits > 0.5  # by chance it would be one in 64
    assert hits > 2 * (last.flatten(1).argmax(dim=1) == at).float().mean()


@every_method
def test_the_frame_with_most_relevance_is_the_one_whose_loss_costs_most(method: Found, trained: TimeSformer) -> None:
    clips, classes, places = draw(64, seed=10**6)
    whole = trained(clips).log_softmax(dim=-1).gather(1, classes)
    costs = []
    for frame in range(4):
        without = clips.clone()
        without[:, frame] = 0
        costs.append((whole - trained(without).log_softmax(dim=-1).gather(1, classes))[:, 0])
    most, dearest = torch.stack(costs, dim=1).max(dim=1)
    clear = most > 1  # the others are of the colour that the model says where it sees none
    assert clear.sum() > 30
    assert (dearest == places[:, 0] // 16)[clear].float().mean() > 0.9  # the measure itself finds the frame
    frames = method(trained, clips, classes[:, 0]).sum(dim=(2, 3))
    assert (frames.argmax(dim=1) == dearest)[clear].float().mean() > 0.55  # by chance one in four
