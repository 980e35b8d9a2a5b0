"""TimeSformer: space-time attention for video understanding.

The public names are imported when they are first used, so that `timesformer --help` need not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from timesformer.config import AugmentConfig as AugmentConfig
    from timesformer.config import ClipConfig as ClipConfig
    from timesformer.config import ConfigError as ConfigError
    from timesformer.config import ModelConfig as ModelConfig
    from timesformer.config import TrainConfig as TrainConfig
    from timesformer.data.clips import ClipDataset as ClipDataset
    from timesformer.data.items import DataError as DataError
    from timesformer.data.manifest import Manifest as Manifest
    from timesformer.evaluation import evaluate as evaluate
    from timesformer.model.transformer import TimeSformer as TimeSformer
    from timesformer.predict import Prediction as Prediction
    from timesformer.predict import Predictor as Predictor
    from timesformer.results import Evaluation as Evaluation
    from timesformer.training.outcome import Outcome as Outcome
    from timesformer.training.start import train as train
    from timesformer.video.reader import VideoError as VideoError
    from timesformer.weights.checkpoint import Checkpoint as Checkpoint
    from timesformer.weights.checkpoint import save as save
    from timesformer.weights.loading import load as load
    from timesformer.weights.report import WeightsError as WeightsError

__version__ = "0.1.0"
_HOMES = {
    "AugmentConfig": "config",
    "Checkpoint": "weights.checkpoint",
    "ClipConfig": "config",
    "ClipDataset": "data.clips",
    "ConfigError": "config",
    "DataError": "data.items",
    "Evaluation": "results",
    "Manifest": "data.manifest",
    "ModelConfig": "config",
    "Outcome": "training.outcome",
    "Prediction": "predict",
    "Predictor": "predict",
    "TimeSformer": "model.transformer",
    "TrainConfig": "config",
    "VideoError": "video.reader",
    "WeightsError": "weights.report",
    "evaluate": "evaluation",
    "load": "weights.loading",
    "save": "weights.checkpoint",
    "train": "training.start",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'timesformer' has no attribute {name!r}; it has {', '.join(__all__)}.")
    return getattr(import_module(f"timesformer.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
