"""Settings of a training by name: dotted, short, or as other programs call them."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, get_type_hints

from timesformer.config.checks import ConfigError
from timesformer.config.renamed import FLAGS
from timesformer.config.training import TrainConfig

TOGETHER = {
    "frames": ("model.frames", "clip.frames"),
    "size": ("model.size", "clip.size"),
}
"""Short names of settings that the model and its clips share: one name sets both."""
OTHERS = {
    "amp_dtype": "precision",
    "batch_size": "batch",
    "bs": "batch",
    "class_weight": "class_weights",
    "clip_frames": "frames",
    "clip_len": "frames",
    "clip_length": "frames",
    "color": "colour",
    "color_jitter": "colour",
    "crop_size": "size",
    "cutmix_alpha": "cutmix",
    "data_workers": "workers",
    "drop_path_rate": "drop_path",
    "dtype": "precision",
    "ema_decay": "ema",
    "grad_clip": "clip_grad",
    "gradient_clip_val": "clip_grad",
    "hflip": "flip",
    "horizontal_flip": "flip",
    "image_size": "size",
    "img_size": "size",
    "input_size": "size",
    "learning_rate": "lr",
    "lora_r": "lora",
    "lora_rank": "lora",
    "lr_schedule": "schedule",
    "lr_scheduler": "schedule",
    "lr_scheduler_type": "schedule",
    "lrate": "lr",
    "max_epochs": "epochs",
    "max_grad_norm": "clip_grad",
    "mixed_precision": "precision",
    "mixup_alpha": "mixup",
    "n_epochs": "epochs",
    "n_frames": "frames",
    "n_workers": "workers",
    "nb_classes": "classes",
    "num_classes": "classes",
    "num_epochs": "epochs",
    "num_frames": "frames",
    "num_train_epochs": "epochs",
    "num_workers": "workers",
    "opt": "optimizer",
    "optimiser": "optimizer",
    "patch_size": "patch",
    "pretrained": "init",
    "random_erase": "erase",
    "random_seed": "seed",
    "reprob": "erase",
    "resolution": "size",
    "sampling_rate": "rate",
    "smoothing": "label_smoothing",
    "stride": "rate",
    "train_batch_size": "batch",
    "warmup_epochs": "warmup",
    "wd": "weight_decay",
    "weights": "init",
    "workers_per_gpu": "workers",
}
"""Names that other programs use, each with the short name of ours."""
PROPOSED = {
    "accum_iter": "accumulate",
    "accumulate_grad_batches": "accumulate",
    "accumulation_steps": "accumulate",
    "checkpoint": "init",
    "freeze_backbone": "freeze",
    "grad_accum": "accumulate",
    "grad_accum_steps": "accumulate",
    "gradient_accumulation": "accumulate",
    "gradient_accumulation_steps": "accumulate",
    "gradient_checkpointing": "checkpointing",
    "optim": "optimizer",
}
"""Names of other programs whose values mean something else there; ours are proposed in messages."""

ARGUMENTS = {
    "cfg": "config",
    "config_file": "config",
    "exp_dir": "out",
    "log_dir": "out",
    "logdir": "out",
    "out_dir": "out",
    "outdir": "out",
    "output": "out",
    "output_dir": "out",
    "output_folder": "out",
    "resume_training": "resume",
    "run_dir": "out",
    "save_dir": "out",
    "work_dir": "out",
}
"""Names that other programs use for the other arguments of `train`."""


def dotted(name: str) -> tuple[str, ...]:
    """The settings that a name means, dotted: ("optim.lr",) for "lr", "learning-rate" and "optim.lr".

    A name in two sections means both where they have to agree (frames, size). Raises :class:`ConfigError` for a name
    that is unknown, with the nearest, or that could mean several settings.
    """
    found = understood(name)
    if len(found) == 1 or name.replace("-", "_") in (*TOGETHER, *OTHERS):
        return found
    if found:
        raise ConfigError(f"{name} may be {' or '.join(found)}; give the whole name.")
    raise ConfigError(f"{name} is not a setting of a training; {proposal(name)}")


def understood(name: str) -> tuple[str, ...]:
    """The settings that a name may mean; empty for an unknown one."""
    plain = name.replace("-", "_")
    if plain in known():
        return (plain,)
    if plain in FLAGS:
        return (FLAGS[plain],)
    if plain in TOGETHER:
        return TOGETHER[plain]
    if own := tuple(each for each in known() if each.rpartition(".")[2] == plain):
        return own
    if plain in OTHERS:
        return understood(OTHERS[plain])
    return ()


def proposal(name: str, others: Iterable[str] = ()) -> str:
    """The names nearest to an unknown one, as the end of a sentence; ``others`` are names that would do as well."""
    plain = name.replace("-", "_")
    meant = {key: understood(key) for key in (*OTHERS, *TOGETHER)}
    meant |= {key: understood(value) for key, value in PROPOSED.items()}
    meant |= {each.rpartition(".")[2]: (each,) for each in known() if each.rpartition(".")[2] not in TOGETHER}
    meant |= {each: (each,) for each in (*known(), *others)} | {key: (value,) for key, value in ARGUMENTS.items()}
    for key in difflib.get_close_matches(plain, meant, n=1, cutoff=0.7):
        return f"did you mean {' and '.join(meant[key])}?"
    return "`timesformer train --help` lists them."


def settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Values by dotted name, of settings that were given by any of their names, or as whole sections.

    Raises :class:`ConfigError` for names as :func:`dotted` does, and for one setting that two names give two values.
    """
    found: dict[str, Any] = {}
    for name, value in given.items():
        if is_dataclass(value) and not isinstance(value, type):
            value = {each.name: getattr(value, each.name) for each in fields(value)}
        if isinstance(value, Mapping):
            part = settings({f"{name}.{key}": inner for key, inner in value.items()})
        else:
            part = dict.fromkeys(dotted(name), value)
        for key in part.keys() & found.keys():
            if part[key] != found[key]:
                raise ConfigError(f"{key} is given as {found[key]!r} and as {part[key]!r}; give it once.")
        found |= part
    return found


@cache
def known() -> tuple[str, ...]:
    """Dotted names of all settings."""
    names: list[str] = []
    for name, hint in get_type_hints(TrainConfig).items():
        names += [f"{name}.{inner}" for inner in get_type_hints(hint)] if is_dataclass(hint) else [name]
    return tuple(names)
