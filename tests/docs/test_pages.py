"""The documentation tells the truth: its commands run, its flags and links exist."""

import importlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

import timesformer
from tests.docs.made_pages import PAGES, REASONS, ROOT, SHOWN, Fence, fences, image_model, inline
from timesformer.cli.main import COMMANDS, main
from timesformer.cli.train import Start
from timesformer.cli.typed.words import flags_of, spelled_settings
from timesformer.config.checks import ConfigError
from timesformer.config.names import ARGUMENTS
from timesformer.data.made import motions

SHORTER = ["--optim.epochs", "1", "--optim.repeats", "1", "--engine.precision", "fp32", "--engine.workers", "0"]
"""What is added to every `train` that the page doesn't give a length, so that it takes seconds instead of minutes."""
SMALLER = ["--model.width", "32", "--model.depth", "1", "--model.heads", "2"]
"""What is added beside that where the model isn't that of given weights."""
TRAINS = ("README.md", "index.md", "python.md")
"""Pages that train the run that they go on with; the others find one."""
IDS = [page.name for page in PAGES]


def run_on(page: Path) -> list[Fence]:
    """The blocks of a page that are run."""
    return [fence for fence in fences(page) if fence.language in ("bash", "python") and not fence.reason]


USED = [page for page in PAGES if run_on(page)]


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of clips, made once."""
    folder = tmp_path_factory.mktemp("made") / "clips"
    motions.generate(folder, train=16, val=8, test=8, size=32)
    return folder


@pytest.fixture(scope="session")
def run(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run trained on them, made once."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    typed("train", str(clips), "--out", str(folder))
    return folder


def typed(*words: str) -> None:
    """Type a command of ours and expect it to end well."""
    with pytest.raises(SystemExit) as end:
        main([*words, *shortened(words)])
    assert end.value.code in (0, None), f"timesformer {' '.join(words)} exits with {end.value.code}"


def shortened(words: Sequence[str]) -> list[str]:
    """The flags that make a training tiny; and no processes where starting them takes longer than the work."""
    if words[0] in ("scan", "prepare"):
        return ["--processes", "0"]
    if words[0] != "train" or {"--resume", "--config", "--help"} & set(words):
        return []
    return SHORTER if {"--init", "--recipe"} & set(words) else [*SHORTER, *SMALLER]


@pytest.mark.parametrize("page", USED, ids=[page.name for page in USED])
def test_every_command_and_every_line_of_python_on_a_page_runs(
    page: Path,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    clips: Path = request.getfixturevalue("clips")
    shutil.copytree(clips, tmp_path / "clips")
    shutil.copy(next((clips / "test" / "left").iterdir()), tmp_path / "video.mp4")
    torch.save(image_model(), tmp_path / "vit.pth")
    if page.name not in TRAINS:
        shutil.copytree(request.getfixturevalue("run"), tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names: dict[str, object] = {"__name__": "__main__"}
    for fence in run_on(page):
        if fence.language == "python":
            exec(compile("\n" * fence.line + fence.text, str(page), "exec"), names)
        for words in fence.commands if fence.language == "bash" else ():
            assert words[0] == "timesformer", f"{fence.place}: {words[0]} is not run; mark the block as not run"
            typed(*words[1:])
    printed = capsys.readouterr().out
    claims = [claim for fence in run_on(page) for claim in re.findall(r"# prints (.+)$", fence.text, re.M)]
    assert [claim for claim in claims if claim not in printed] == []


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_block_is_run_or_says_why_not(page: Path) -> None:
    found = fences(page)
    assert 2 * len(found) == len(re.findall("^ *```", page.read_text("utf-8"), re.M))
    for fence in found:
        assert fence.language in ("bash", "python", *SHOWN), f"{fence.place}: a block of {fence.language!r}"
        assert not fence.reason or fence.reason in REASONS, f"{fence.place}: {fence.reason!r} is no reason"
        hidden = re.search(r"^(timesformer|python|pip|make|torchrun|import|from) ", fence.text, re.M)
        assert fence.language not in SHOWN or hidden is None, f"{fence.place}: a command that isn't run"


def mistakes(words: Sequence[str]) -> list[str]:
    """What is wrong with a command, run or not: unknown commands, flags and files."""
    words = list(words)
    if "-m" in words and words[0] in ("torchrun", "python"):
        words = words[words.index("-m") + 1 :]
    if words[0] == "python":
        return mistakes_of_script(words[1], words[2:])
    if words[0] == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M)
        return [f"no target {name}" for name in words[1:] if name not in targets]
    if words[0] != "timesformer" or len(words) < 2 or words[1] in ("COMMAND", "--version"):
        return []
    if words[1] not in COMMANDS:
        return [f"no command {words[1]}"]
    return [
        f"no flag {word} of {words[1]}" for word in words[2:] if word.startswith("--") and not a_flag(word, words[1])
    ]


def mistakes_of_script(script: str, words: Sequence[str]) -> list[str]:
    """The same for a script of the checkout; what follows a bare "--" goes to `timesformer train`."""
    if not (ROOT / script).exists():
        return [f"{script} does not exist"]
    text = (ROOT / script).read_text("utf-8")
    own, trained = (words[: words.index("--")], words[words.index("--") + 1 :]) if "--" in words else (words, [])
    lost = [f"no flag {word} of {script}" for word in own if word.startswith("--") and f'"{word}"' not in text]
    return lost + (mistakes(["timesformer", "train", *trained]) if trained else [])


def a_flag(word: str, command: str) -> bool:
    """Whether a command has a flag, under its own or another program's name."""
    name = word.partition("=")[0].removeprefix("--").replace("-", "_")
    if name == "help" or name.removeprefix("no_") in flags_of(COMMANDS[command]):
        return True
    if command != "train":
        return ARGUMENTS.get(name) in set(flags_of(COMMANDS[command]))
    try:
        return bool(spelled_settings([word], Start)[0])
    except ConfigError:
        return False


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_command_names_commands_flags_and_files_that_exist(page: Path) -> None:
    commands = [words for fence in fences(page) if fence.language == "bash" for words in fence.commands]
    codes = list(inline(page))
    commands += [code.split() for code in codes if re.match(r"(timesformer|python|torchrun|make) ", code)]
    assert {str(words): found for words in commands if (found := mistakes(words))} == {}
    flags = {word for code in codes if code.startswith("--") for word in code.split() if word.startswith("--")}
    others = {"--nproc-per-node", "--logdir"}
    assert {flag for flag in flags - others if not any(a_flag(flag, command) for command in COMMANDS)} == set()


def resolves(name: str) -> bool:
    """Whether a dotted name can be imported."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:count]))
        except ImportError:
            continue
        for part in parts[count:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_name_of_the_package_on_a_page_exists(page: Path) -> None:
    text = page.read_text("utf-8")
    names = {name.rstrip(".") for name in re.findall(r"(?<![\w/.'\[-])timesformer(?:\.\w+)+", text)}
    assert {name for name in names if not resolves(name)} == set()


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[\w-]*)?\)", page.read_text("utf-8"))
    near = [target for target in targets if "://" not in target]
    assert [target for target in near if not (page.parent / target).exists()] == []


def test_a_block_that_is_neither_run_nor_marked_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```\nls\n```\n\n<!-- not run: needs a GPU -->\n```bash\ntimesformer scan x \\\n  --out y # why\n```\n"
    )
    first, second = fences(page)
    assert (first.language, first.reason, second.reason, second.line) == ("", "", "needs a GPU", 5)
    assert second.commands == [["timesformer", "scan", "x", "--out", "y"]]
    with pytest.raises(AssertionError, match=r"page\.md:1: a block of ''"):
        test_every_block_is_run_or_says_why_not(page)


@pytest.mark.parametrize(
    ("command", "found"),
    [
        ("timesformer train clips --epochz 3", ["no flag --epochz of train"]),
        ("timesformer trian clips", ["no command trian"]),
        ("timesformer scan clips --batch-size 3", ["no flag --batch-size of scan"]),
        ("torchrun --nproc-per-node 8 -m timesformer train DATA --batch-size 3 --no-flip", []),
        ("python benchmarks/nothing.py", ["benchmarks/nothing.py does not exist"]),
        ("python benchmarks/small_data.py DATA --seedz 1", ["no flag --seedz of benchmarks/small_data.py"]),
        ("python benchmarks/small_data.py DATA --seeds 1 -- --epochz 1", ["no flag --epochz of train"]),
        ("make tea", ["no target tea"]),
    ],
)
def test_wrong_commands_are_found_without_running_them(command: str, found: list[str]) -> None:
    assert mistakes(command.split()) == found


def test_the_site_builds_without_warnings_and_shows_all_commands_and_public_names(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    page = (tmp_path / "site" / "api" / "index.html").read_text("utf-8")
    homes = [getattr(timesformer, name).__module__ for name in timesformer.__all__]
    assert [n for n, home in zip(timesformer.__all__, homes, strict=True) if f'id="{home}.{n}"' not in page] == []
    assert ":class:" not in page and "<blockquote" not in page
    commands = (tmp_path / "site" / "commands" / "index.html").read_text("utf-8")
    assert [name for name in COMMANDS if f"usage: timesformer {name}" not in commands] == []
