"""What every floor must know about a task: one row of facts for each. What a task computes is in the room ``tasks``."""

from collections.abc import Mapping
from dataclasses import dataclass

from timesformer.config.training import Task


@dataclass(frozen=True)
class TaskFacts:
    """What the targets and outputs of a task are."""

    numeric: bool
    """Whether targets are numbers in named columns; otherwise they are names of classes."""
    several: bool
    """Whether a video may have any number of labels, also none."""
    output: str
    """What one output of the model stands for, as a noun."""
    outputs: str
    """What all outputs are, as a model card says it."""
    scores: str
    """How logits become scores, as a Python expression for a model card."""
    problem_type: str
    """The task's name in the configs of Hugging Face transformers."""

    @property
    def exclusive(self) -> bool:
        """Whether a video has exactly one class."""
        return not (self.numeric or self.several)


FACTS: Mapping[Task, TaskFacts] = {
    "classes": TaskFacts(
        numeric=False,
        several=False,
        output="class",
        outputs="classes",
        scores="logits.softmax(dim=-1)",
        problem_type="single_label_classification",
    ),
    "multilabel": TaskFacts(
        numeric=False,
        several=True,
        output="class",
        outputs="labels, any number per video",
        scores="logits.sigmoid()",
        problem_type="multi_label_classification",
    ),
    "regression": TaskFacts(
        numeric=True,
        several=False,
        output="output",
        outputs="numbers",
        scores="logits",
        problem_type="regression",
    ),
}
"""The facts of each task."""
