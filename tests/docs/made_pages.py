"""The pages of the documentation as a reader uses them: their fenced blocks, and a folder in which these work.

A block of commands is marked as ``bash``, a block of Python as ``python``; both are run, in the order of the page. A
block that can't be run here stands below a comment that says why, such as ``<!-- not run: needs a GPU -->``. All other
blocks are marked as what they show: ``text``, ``csv``, ``json``.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.made_weights import vit
from timesformer.config.model import ModelConfig

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
REASONS = ("needs a GPU", "needs a network", "needs your own files", "takes minutes", "takes hours")
SHOWN = ("text", "csv", "json", "toml")
_FENCE = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^>]*?) -->\n\n?)?```(?P<info>[^\n]*)\n(?P<text>.*?)^```$", re.M | re.S
)


@dataclass(frozen=True)
class Fence:
    """One fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str
    reason: str
    """Why it isn't run; empty for a block that is."""

    @property
    def place(self) -> str:
        """Where it stands, for messages."""
        return f"{self.page.name}:{self.line}"

    @property
    def commands(self) -> list[list[str]]:
        """The words of each command, without comments; a line that ends in a backslash goes on in the next one."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [words for line in lines if (words := shlex.split(line, comments=True))]


def fences(page: Path) -> list[Fence]:
    """All fenced blocks of a page, in order."""
    text = page.read_text("utf-8")
    return [
        Fence(page, text.count("\n", 0, found.start()) + 1, found["info"], found["text"], found["reason"] or "")
        for found in _FENCE.finditer(text)
    ]


def inline(page: Path) -> Iterator[str]:
    """Every piece of code within the sentences of a page."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.M | re.S)
    yield from (" ".join(code.split()) for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", prose))


def image_model() -> dict[str, object]:
    """Weights of a tiny image transformer, which take the place of timm's."""
    return dict(vit(ModelConfig(frames=1, size=32, patch=8, width=64, depth=1, heads=1, classes=5)))
