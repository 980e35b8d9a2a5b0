"""Low-rank adapters (LoRA, Hu et al. 2021): fine-tuning that leaves the weights it starts from as they are.

In every attention step, the query-key-value and the output projection each get an adapter: a product of two thin
matrices, which the library peft adds and merges. A step of width d thus has 6 * rank * d numbers to train. The
zero-initialised projection after a step gets none: it directly follows the output projection, whose adapter has the
same effect. Parameters that the weights to start from do not have are trained in full: always the head, and with an
image model also the time embedding and the zero-initialised projections, which would otherwise stay zero and block
their step.
"""

from collections.abc import Collection

from torch import nn

from timesformer.config.checks import ConfigError

TARGETS = ["qkv", "proj"]
"""Projections that get an adapter, by the last part of their names."""


def check(rank: int) -> None:
    """Raise ConfigError where adapters are wanted and peft is not installed."""
    if rank:
        try:
            import peft  # noqa: F401
        except ImportError as error:
            raise ConfigError(
                f"lora is {rank}, which needs the package peft: pip install 'timesformer[lora]'."
            ) from error


def add(model: nn.Module, rank: int, missing: Collection[str] = ()) -> None:
    """Put adapters of a rank into a model, in place; rank 0 changes nothing.

    Adapters start with an output of zero. Besides them, only the head and the parameters that were ``missing`` from the
    weights are trained. Their scale is 1 at every rank, so that the same learning rate suits all ranks.
    """
    if not rank:
        return
    check(rank)
    from peft import LoraConfig, LoraModel

    whole = [value for name, value in model.named_parameters() if name.startswith("head.") or name in missing]
    LoraModel(model, LoraConfig(r=rank, lora_alpha=rank, target_modules=TARGETS), "default")
    for value in whole:
        value.requires_grad_()


def merge(model: nn.Module) -> None:
    """Add the adapters to the weights that they adapt and remove them, in place, which leaves a plain model."""
    for name, layer in list(model.named_modules()):
        if hasattr(layer, "get_base_layer"):
            layer.merge()
            model.set_submodule(name, layer.get_base_layer())


def summary(model: nn.Module) -> str:
    """How many of a model's parameters are trained, in words."""
    sizes = [(value.numel(), value.requires_grad) for value in model.parameters()]
    learning, whole = sum(size for size, learns in sizes if learns), sum(size for size, _ in sizes)
    return f"{learning:,} of {whole:,} parameters learn ({learning / whole:.2%})"
