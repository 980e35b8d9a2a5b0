"""Low-rank adapters (LoRA, Hu et al. 2021): fine-tuning that leaves the weights it starts from as they are.

Beside the queries-keys-values and the output projection of every attention step learns a product of two thin matrices,
made and merged by the library peft. A step of width d so has 6 rank d numbers to learn. The extra linear behind a step
gets no adapter: it follows the output projection directly, whose adapter already reaches what one there would. What
the weights lack learns in full: the head always, and where an image model starts, the extra linears, whose zeros would
let nothing of their step through, and the time embedding.
"""

from collections.abc import Collection

from torch import nn

from timesformer.config.checks import ConfigError

TARGETS = ["qkv", "proj"]
"""Linears that get an adapter, by the last part of their names."""


def check(rank: int) -> None:
    """Raise ConfigError where adapters are wanted and peft is not installed."""
    if rank:
        try:
            import peft  # noqa: F401
        except ImportError as error:
            raise ConfigError(
                f"lora is {rank}, which needs the package peft: pip install 'timesformer[lora]'."
            ) from error


def add(model: nn.Module, rank: int, lacking: Collection[str] = ()) -> None:
    """Put adapters of a rank into a model, in place; rank 0 changes nothing.

    They answer zero at first, and nothing else learns but the head and the tensors that the weights were ``lacking``.
    The adapters' scale is 1 at every rank, so that a learning rate serves all of them.
    """
    if not rank:
        return
    check(rank)
    from peft import LoraConfig, LoraModel

    whole = [value for name, value in model.named_parameters() if name.startswith("head.") or name in lacking]
    LoraModel(model, LoraConfig(r=rank, lora_alpha=rank, target_modules=TARGETS), "default")
    for value in whole:
        value.requires_grad_()


def merge(model: nn.Module) -> None:
    """Add what adapters learned to the weights beside them and remove them, in place: a model like any other."""
    for name, layer in list(model.named_modules()):
        if hasattr(layer, "get_base_layer"):
            layer.merge()
            model.set_submodule(name, layer.get_base_layer())


def summary(model: nn.Module) -> str:
    """How much of a model learns, in words."""
    sizes = [(value.numel(), value.requires_grad) for value in model.parameters()]
    learning, whole = sum(size for size, learns in sizes if learns), sum(size for size, _ in sizes)
    return f"{learning:,} of {whole:,} parameters learn ({learning / whole:.2%})"
