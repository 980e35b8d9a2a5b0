"""TimeSformer: space-time attention for video understanding.

The public names are imported when they are first used, so that `timesformer --help` need not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from timesformer.config.checks import ConfigError as ConfigError
    from timesformer.config.model import ClipConfig as ClipConfig
    from timesformer.config.model import ModelConfig as ModelConfig
    from timesformer.config.training import AugmentConfig as AugmentConfig
    from timesformer.config.training import TrainConfig as TrainConfig
    from timesformer.data.batches.clips import ClipDataset as ClipDataset
    from timesformer.data.items import DataError as DataError
    from timesformer.data.manifest import Manifest as Manifest
    from timesformer.errors import TimesformerError as TimesformerError
    from timesformer.features.table import Features as Features
    from timesformer.inference.explanation.explanation import Explanation as Explanation
    from timesformer.inference.prediction import Prediction as Prediction
    from timesformer.inference.results import Evaluation as Evaluation
    from timesformer.inference.timeline.timeline import Timeline as Timeline
    from timesformer.model.transformer import TimeSformer as TimeSformer
    from timesformer.training.outcome import Outcome as Outcome
    from timesformer.verbs.embed import embed as embed
    from timesformer.verbs.evaluate import evaluate as evaluate
    from timesformer.verbs.explain import explain as explain
    from timesformer.verbs.map import map as map
    from timesformer.verbs.neighbours import neighbours as neighbours
    from timesformer.verbs.predict import Predictor as Predictor
    from timesformer.verbs.report import report as report
    from timesformer.verbs.timeline import timeline as timeline
    from timesformer.verbs.train import train as train
    from timesformer.video.reader import VideoError as VideoError
    from timesformer.weights.checkpoint import Checkpoint as Checkpoint
    from timesformer.weights.checkpoint import save as save
    from timesformer.weights.loading import load as load
    from timesformer.weights.report import WeightsError as WeightsError

__version__ = "0.1.0"
_HOMES = {
    "AugmentConfig": "config.training",
    "Checkpoint": "weights.checkpoint",
    "ClipConfig": "config.model",
    "ClipDataset": "data.batches.clips",
    "ConfigError": "config.checks",
    "DataError": "data.items",
    "Evaluation": "inference.results",
    "Features": "features.table",
    "Explanation": "inference.explanation.explanation",
    "Manifest": "data.manifest",
    "ModelConfig": "config.model",
    "Outcome": "training.outcome",
    "Prediction": "inference.prediction",
    "Predictor": "verbs.predict",
    "TimeSformer": "model.transformer",
    "Timeline": "inference.timeline.timeline",
    "TimesformerError": "errors",
    "TrainConfig": "config.training",
    "VideoError": "video.reader",
    "WeightsError": "weights.report",
    "embed": "verbs.embed",
    "evaluate": "verbs.evaluate",
    "map": "verbs.map",
    "neighbours": "verbs.neighbours",
    "explain": "verbs.explain",
    "load": "weights.loading",
    "report": "verbs.report",
    "save": "weights.checkpoint",
    "timeline": "verbs.timeline",
    "train": "verbs.train",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'timesformer' has no attribute {name!r}; it has {', '.join(__all__)}.")
    return getattr(import_module(f"timesformer.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
