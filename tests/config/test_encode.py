"""What a file holds of a config: everything, except fields that its first files didn't have, at their defaults."""

import json
from dataclasses import asdict, fields

from timesformer.config.encode import ADDED, encode
from timesformer.config.model import ClipConfig, ModelConfig
from timesformer.config.training import AugmentConfig, TrainConfig
from timesformer.weights.metadata import Description, from_json, to_json

KINDS = {kind.__name__: kind for kind in (ModelConfig, ClipConfig, AugmentConfig, TrainConfig)}
FIRST = (
    "scheme", "frames", "size", "patch", "width", "depth", "heads", "mlp_ratio", "classes", "drop_path", "position",
    "order", "class_in_time", "weight_init", "resize",
)  # fmt: skip


def test_a_published_model_has_the_fields_of_the_first_files() -> None:
    described = json.loads(to_json(Description(ModelConfig(), ClipConfig())))
    assert tuple(described["model"]) == FIRST
    assert described["model"] == {name: getattr(ModelConfig(), name) for name in FIRST}


def test_a_field_that_was_added_is_written_where_it_differs_from_its_default_and_read_back() -> None:
    for model in (ModelConfig(registers=4), ModelConfig(norm_pre=True, activation="quick_gelu", norm_eps=1e-12)):
        text = to_json(Description(model, ClipConfig()))
        changed = {name for name in ADDED["ModelConfig"] if getattr(model, name) != getattr(ModelConfig(), name)}
        assert json.loads(text)["model"].keys() == {*FIRST, *changed}
        assert from_json(text, "file.safetensors").model == model


def test_everything_else_is_written_as_it_is() -> None:
    config = TrainConfig()
    encoded, whole = encode(config), asdict(config)
    for name in ADDED["ModelConfig"]:
        del whole["model"][name]
    for name in ADDED.get("AugmentConfig", ()):
        del whole["augment"][name]
    assert encoded == whole


def test_added_fields_exist() -> None:
    for kind, names in ADDED.items():
        assert set(names) <= {field.name for field in fields(KINDS[kind])}
