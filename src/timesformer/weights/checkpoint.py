"""One safetensors file that describes itself: weights, and the model, clip settings, labels and task as JSON."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from timesformer import atomic
from timesformer.config.model import ClipConfig, ModelConfig
from timesformer.config.tasks import FACTS
from timesformer.config.training import Task
from timesformer.model.transformer import TimeSformer
from timesformer.weights import metadata
from timesformer.weights.metadata import Description, TargetStats
from timesformer.weights.report import LoadReport, WeightsError

KEY = "timesformer"
"""Key of the file's metadata under which the description is stored."""
MOST_BLOCKS = 1000
"""Most blocks of a model that is read; the deepest published vision transformers have fewer than a hundred."""


@dataclass(frozen=True)
class Checkpoint:
    """A model with everything needed to use it."""

    model: TimeSformer
    clip: ClipConfig
    """How a clip is cut and normalised for this model."""
    labels: tuple[str, ...] = ()
    """Name of each output, or none."""
    task: Task = "classes"
    about: str = ""
    """Where the weights come from and their licence, in a sentence."""
    report: LoadReport | None = None
    """What loading did with every tensor; None for a checkpoint that was not loaded."""
    target_stats: TargetStats = ()
    """For a regression, mean and standard deviation of each number over the training videos: the model predicts the
    normalised number, and evaluation and prediction scale it back. Empty where the model predicts the number itself."""

    @property
    def is_backbone(self) -> bool:
        """Whether it has features but no head: no labels, and a head of zeros, as :func:`timesformer.load` makes."""
        bare = self.task == "classes" and self.model.config.classes == 1 and not self.labels
        return bare and not bool(self.model.head.weight.any())

    def needs_head(self) -> None:
        """Raise :class:`WeightsError` with the way to train a head, where there is none."""
        if self.is_backbone:
            name = self.report.source if self.report else "WEIGHTS"
            raise WeightsError(
                f"{self.report.source if self.report else 'the checkpoint'} has no classes, only features; train a "
                f"head on your videos: timesformer train DATA --init {name} --freeze backbone."
            )

    def __post_init__(self) -> None:
        check_labels(self.labels, self.model.config.classes)
        if self.target_stats and (not FACTS[self.task].numeric or len(self.target_stats) != self.model.config.classes):
            raise WeightsError(
                f"target_stats has {len(self.target_stats)} entries for {self.model.config.classes} outputs "
                f"({self.task}); only a regression has them: a mean and a standard deviation for each output."
            )


def check_labels(labels: tuple[str, ...], classes: int) -> None:
    """Raise :class:`WeightsError` unless there is one label for each output, or none at all."""
    if labels and len(labels) != classes:
        raise WeightsError(f"{len(labels)} labels for {classes} outputs; give one label for each output, in order.")


def save(checkpoint: Checkpoint, path: str | Path) -> None:
    """Write a checkpoint as one safetensors file.

    The file is written atomically: a crash or a full disk leaves the earlier file unchanged. Raises
    :class:`WeightsError` if it can't be written.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in checkpoint.model.state_dict().items()}
    write_tensors(tensors, path, {KEY: metadata.to_json(describe(checkpoint))})


def describe(checkpoint: Checkpoint) -> Description:
    """Everything in a checkpoint but its tensors and its report."""
    return Description(
        model=checkpoint.model.config,
        clip=checkpoint.clip,
        labels=checkpoint.labels,
        task=checkpoint.task,
        about=checkpoint.about,
        target_stats=checkpoint.target_stats,
    )


def write_tensors(tensors: Mapping[str, Tensor], path: str | Path, notes: Mapping[str, str]) -> None:
    """Write tensors and text notes as safetensors, whole or not at all; raises :class:`WeightsError` if it can't."""
    with atomic.replacing(Path(path), WeightsError) as temporary:
        if not _is_utf8(temporary):
            temporary.write_bytes(safetensors.torch.save(dict(tensors), metadata=dict(notes)))
            return
        try:
            save_file(dict(tensors), temporary, metadata=dict(notes))
        except SafetensorError as error:
            raise OSError(str(error)) from error


def _is_utf8(path: Path) -> bool:
    """Whether the safetensors library can open a path; files with other names are read and written in memory."""
    try:
        return bool(str(path).encode())
    except UnicodeEncodeError:
        return False


def read(path: str | Path) -> Checkpoint:
    """A checkpoint that :func:`save` wrote, its weights as float32 on the CPU, the model in evaluation mode.

    Raises :class:`WeightsError` for a file that is missing, damaged, of another format, or unlike its description.
    """
    tensors, notes = read_tensors(path)
    if KEY not in notes:
        raise WeightsError(
            f"{path} is a safetensors file without a timesformer description; load foreign weights with "
            "timesformer.load, which recognises their format."
        )
    description = metadata.from_json(notes[KEY], str(path))
    return Checkpoint(
        model=build(description.model, tensors, str(path)),
        clip=description.clip,
        labels=description.labels,
        task=description.task,
        about=description.about,
        report=LoadReport(source=str(path), layout="timesformer checkpoint", loaded=len(tensors)),
        target_stats=description.target_stats,
    )


def read_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and text notes of a safetensors file; raises :class:`WeightsError` if it can't be read.

    The tensors may be views of the file: copy them (as :func:`build` does) before the file can change.
    """
    if not Path(path).is_file():
        raise WeightsError(f"{path} does not exist or is not a file; check the path.")
    try:
        if not _is_utf8(Path(path)):
            data = Path(path).read_bytes()
            header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
            return safetensors.torch.load(data), header.get("__metadata__", {})
        with safe_open(str(path), framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError, RuntimeError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise WeightsError(f"{path} is not a whole safetensors file ({error!s:.120}); get the file again.") from error


def build(config: ModelConfig, tensors: Mapping[str, Tensor], source: str) -> TimeSformer:
    """The model of a config filled with tensors of exactly its names and shapes, float32, in evaluation mode.

    Memory is allocated after names and shapes agree, so a file that lies about its size costs nothing.
    Raises :class:`WeightsError` listing every name that is missing, extra or of another shape.
    """
    check(config, tensors, source)
    with torch.device("meta"):
        model = TimeSformer(config)
    model = model.to_empty(device="cpu")
    model.load_state_dict(tensors)
    return model.eval()


def check(config: ModelConfig, tensors: Mapping[str, Tensor], source: str, *, head: bool = True) -> None:
    """Raise :class:`WeightsError` unless tensors have exactly the names and shapes of a config's model.

    Only one block is built to find them, on the meta device. Without ``head``, any head or none is accepted.
    """
    if config.depth > len(tensors):
        raise WeightsError(
            f"{source} has {len(tensors)} tensors, too few for the {config.depth} blocks it claims; get the file again."
        )
    if config.depth > MOST_BLOCKS:
        raise WeightsError(f"{source} has {config.depth} blocks; at most {MOST_BLOCKS} are read.")
    try:
        with torch.device("meta"):
            shown = TimeSformer(replace(config, depth=config.read_blocks)).state_dict()
    except (RuntimeError, TypeError, ValueError, OverflowError) as error:
        raise WeightsError(
            f"{source} describes a model that can't be built ({error!s:.120}); get the file again."
        ) from error
    wanted: dict[str, Tensor] = {}
    for name, value in shown.items():
        inner = name.removeprefix("blocks.0.")
        names = [name] if inner == name else [f"blocks.{number}.{inner}" for number in range(config.depth)]
        wanted |= dict.fromkeys(names, value)
    if not head:
        wanted = {name: value for name, value in wanted.items() if not name.startswith("head.")}
        tensors = {name: value for name, value in tensors.items() if not name.startswith("head.")}
    problems = differences(wanted, tensors)
    if problems:
        raise WeightsError(
            f"{source} does not fit its {config.scheme} model: {'; '.join(problems)}; get the file again."
        )


def differences(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    """Every way in which tensors differ from the expected ones, at most ten of each kind."""
    missing = [name for name in wanted if name not in given]
    extra = [f"{name:.80}" for name in given if name not in wanted]
    shapes = [
        f"{name} is {list(given[name].shape)} but {list(value.shape)} is needed"
        for name, value in wanted.items()
        if name in given and given[name].shape != value.shape
    ]
    types = [
        f"{name} is {given[name].dtype}"
        for name in wanted
        if name in given and not (given[name].is_floating_point() and given[name].layout is torch.strided)
    ]
    kinds = (("missing", missing), ("extra", extra), ("wrong shape", shapes), ("not floating point", types))
    return [
        f"{kind}: {', '.join(names[:10])}" + (f" and {len(names) - 10} more" if len(names) > 10 else "")
        for kind, names in kinds
        if names
    ]
