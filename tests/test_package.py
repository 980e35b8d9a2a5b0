"""The package that users install: what it contains, and that it works in an environment of its own."""

import json
import os
import shutil
import site
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import timesformer
from tests import made_videos, made_weights
from timesformer.config.model import ClipConfig
from timesformer.weights.checkpoint import Checkpoint, save

ROOT = Path(__file__).parent.parent
MADE_HERE = (".*", "__pycache__", "*.egg-info", "build", "dist", "demo", "runs", "site")
"""What a checkout holds that is not source."""


def run(*words: str | Path, cwd: Path) -> str:
    """Run a command somewhere else than in the checkout and return what it printed."""
    outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, timeout=250, cwd=cwd, env=outside)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("built")
    shutil.copytree(ROOT, folder / "source", ignore=shutil.ignore_patterns(*MADE_HERE))
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, folder / "source", cwd=folder)
    return folder


def test_the_wheel_holds_every_module_and_nothing_else(built: Path) -> None:
    names = set(zipfile.ZipFile(next(built.glob("*.whl"))).namelist())
    code = {name for name in names if ".dist-info/" not in name}
    source = ROOT / "src"
    modules = {path.relative_to(source).as_posix() for path in (source / "timesformer").rglob("*.py")}
    assert code == {*modules, "timesformer/py.typed"}
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_the_source_distribution_holds_what_its_tests_and_documentation_need(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = {"LICENSE", "README.md", "CHANGELOG.md", "CITATION.cff", "Makefile", "constraints.txt", "mkdocs.yml"}
    for folder in ("src", "tests", "docs", "benchmarks"):
        files = {path.relative_to(ROOT) for path in (ROOT / folder).rglob("*") if path.is_file()}
        needed |= {path.as_posix() for path in files if not {"__pycache__", "timesformer.egg-info"} & {*path.parts}}
    assert needed - names == set()
    assert not [name for name in names if name.endswith(".pyc")]


@pytest.mark.skipif(sys.platform == "win32", reason="the path of the scripts is spelled as on Linux and macOS")
def test_the_installed_wheel_predicts_outside_the_checkout(built: Path, tmp_path: Path) -> None:
    place = tmp_path / "installed"
    run(sys.executable, "-m", "venv", "--without-pip", place, cwd=tmp_path)
    python, command = place / "bin" / "python", place / "bin" / "timesformer"
    wheel = next(built.glob("*.whl"))
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=tmp_path)
    own = next(place.glob("lib/*/site-packages"))
    # The dependencies are those of this environment; its editable install of the package does not come with them.
    (own / "dependencies.pth").write_text("\n".join(site.getsitepackages()))
    home = run(python, "-c", "import timesformer; print(timesformer.__file__)", cwd=tmp_path)
    assert Path(home.strip()).is_relative_to(own)
    assert timesformer.__version__ in run(command, "--version", cwd=tmp_path)

    video = made_videos.write(tmp_path / "video.mp4", frames=12)
    save(Checkpoint(made_weights.random_model(), ClipConfig(frames=4, size=32)), tmp_path / "model.safetensors")
    said = json.loads(run(command, "predict", "model.safetensors", video, "--json", cwd=tmp_path))
    assert {row["label"] for row in said["scores"]} == {f"class {number}" for number in range(5)}
