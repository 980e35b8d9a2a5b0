"""The house stands: imports point down only, no input or output below the reader, and nothing grows too large."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import timesformer

PACKAGE = Path(timesformer.__file__).parent
ROOMS = (
    ("errors", "plain"),
    ("config",),
    ("recipes",),
    ("model",),
    ("machine", "cache", "atomic", "progress"),
    ("video.decoder",),
    ("video",),
    ("data", "data.items", "data.files", "data.splits", "data.made"),
    ("data.formats",),
    ("data.manifest",),
    ("data.batches",),
    ("data.care",),
    ("weights.report", "weights.metadata", "weights.checkpoint", "weights.card"),
    ("weights.formats.images",),
    ("weights.formats",),
    ("weights.fit",),
    ("weights",),
    ("pictures",),
    ("pictures.maps",),
    ("pictures.heat", "pictures.report"),
    ("tasks",),
    ("inference",),
    ("inference.timeline",),
    ("inference.explanation",),
    ("training.run",),
    ("training.shown", "training.engine"),
    ("training.linear",),
    ("features",),
    ("training.choose",),
    ("training",),
    ("reporting",),
    ("verbs",),
    ("studies",),
    ("serve",),
    ("cli.typed",),
    ("cli",),
    ("__main__", ""),
)
"""The floors from the ground up. A module's floor is that of the longest name here that it begins with. Every folder of
the package has an entry of its own."""
FLOORS = {name: floor for floor, names in enumerate(ROOMS) for name in names}
PURE = FLOORS["model"]
"""Up to this floor nothing reads or writes."""
FACTS = FLOORS["recipes"]
"""Up to this floor nothing needs another package, but for those in TEXT_ONLY."""
TEXT_ONLY = {"docstring_parser"}
"""Packages that read text and need none themselves: the sentences under the fields of configs."""
DECODERS = ("video.decoder", "video.reader", "video.writer")
"""The only ones that import the decoder."""
INPUT_OUTPUT = {"os", "pathlib", "io", "sys", "av", "rich", "logging", "shutil", "socket", "subprocess", "tempfile"}
MOST_MODULES = 14
"""A folder with more modules holds two ideas."""
CALLS = {"open", "print", "input", "torch.load", "torch.save"}
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc"}
PUBLIC = {"TimeSformer", "ModelConfig", "load", "save", "Predictor", "Checkpoint", "Prediction"}
Sources = dict[str, ast.Module]


def read(package: Path) -> Sources:
    """Every module of a package by its dotted name."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = (package.name, *path.relative_to(package).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = ast.parse(path.read_text("utf-8"))
    return found


def floor(module: str) -> int:
    """The floor of a module; raises KeyError for one that has none."""
    parts = module.split(".")[1:]
    names = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    return FLOORS[next((name for name in names if name in FLOORS), ".".join(parts))]


def imports(package: Path, module: str, tree: ast.Module) -> Iterator[tuple[str, str]]:
    """What a module imports, wherever in it, as (module, name); the name is empty for ``import module``."""
    is_package = (package.parent / Path(*module.split(".")) / "__init__.py").exists()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            up = module.split(".")[: len(module.split(".")) - node.level + is_package] if node.level else []
            base = ".".join([*up, *([node.module] if node.module else [])])
            yield from ((base, alias.name) for alias in node.names)


def edges(package: Path, sources: Sources) -> dict[str, set[str]]:
    """Which modules of the package each of them imports."""
    found: dict[str, set[str]] = {module: set() for module in sources}
    for module, tree in sources.items():
        for base, name in imports(package, module, tree):
            target = f"{base}.{name}" if f"{base}.{name}" in sources else base
            if target in sources:
                found[module].add(target)
    return found


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """The modules of one import cycle, or of none: what is left after taking away modules that import nothing left."""
    left = dict(graph)
    while free := [module for module, targets in left.items() if not targets & left.keys()]:
        for module in free:
            del left[module]
    return sorted(left)


def bound(tree: ast.Module) -> set[str]:
    """Names that a module defines or imports."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.ImportFrom):
            found |= {alias.asname or alias.name for alias in node.names}
    return found


def floor_faults(package: Path) -> list[str]:
    """Upward and circular imports, and names taken from the package root, modules that nothing there hides aside."""
    sources = read(package)
    graph = edges(package, sources)
    hidden = bound(sources[package.name])
    faults = [
        f"{module} imports {target}, which is on a higher floor"
        for module, targets in graph.items()
        for target in sorted(targets)
        if floor(target) > floor(module)
    ]
    for module, tree in sources.items():
        for base, name in imports(package, module, tree):
            submodule = f"{base}.{name}" in sources and name not in hidden
            if (base == package.name and not submodule) or (not name and base.split(".")[0] == package.name):
                faults.append(f"{module} takes {name or base} from the package root")
    circle = cycle(graph)
    return faults + ([f"circular imports among {', '.join(circle)}"] if circle else [])


def purity_faults(package: Path) -> list[str]:
    """Input and output up to the model, packages among the facts, and strangers that know the decoder."""
    sources, faults = read(package), []
    for module, tree in sources.items():
        tops = {base.split(".")[0] for base, _ in imports(package, module, tree)}
        if floor(module) <= PURE:
            faults += [f"{module} imports {top}" for top in sorted(tops & INPUT_OUTPUT)]
            calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
            faults += [f"{module} calls {call}" for call in sorted(calls & CALLS)]
        if floor(module) <= FACTS:
            foreign = tops - set(sys.stdlib_module_names) - TEXT_ONLY - {package.name}
            faults += [f"{module} needs {top}" for top in sorted(foreign)]
        if "av" in tops and not module.startswith(tuple(f"{package.name}.{name}" for name in DECODERS)):
            faults.append(f"{module} knows the decoder")
    return faults


def room_faults(package: Path) -> list[str]:
    """Folders that have no floor of their own, and folders with too many modules."""
    faults = []
    for folder in sorted({path.parent for path in package.rglob("*.py")} - {package}):
        name = ".".join(folder.relative_to(package).parts)
        if name not in FLOORS:
            faults.append(f"{name} has no entry in ROOMS")
        if (count := len([path for path in folder.glob("*.py") if path.stem != "__init__"])) > MOST_MODULES:
            faults.append(f"{name} has {count} modules")
    return faults


def size_faults(package: Path) -> list[str]:
    """Vague names, files over 300 lines, functions over 60 (docstring aside) or with more than 8 parameters."""
    faults = []
    for path in sorted(package.rglob("*.py")):
        text, name = path.read_text("utf-8"), path.relative_to(package).as_posix()
        faults += [f"{name}: {part} is no name" for part in Path(name).with_suffix("").parts if part in VAGUE]
        if (lines := text.count("\n")) > 300:
            faults.append(f"{name}: {lines} lines")
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            first = node.body[0]
            doc = (first.end_lineno or 0) - first.lineno + 1 if ast.get_docstring(node) is not None else 0
            if (lines := (node.end_lineno or 0) - node.lineno + 1 - doc) > 60:
                faults.append(f"{name}: {node.name} has {lines} lines")
            given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            if (count := len([argument for argument in given if argument.arg not in ("self", "cls")])) > 8:
                faults.append(f"{name}: {node.name} has {count} parameters")
    return faults


def test_imports_point_down_only() -> None:
    assert floor_faults(PACKAGE) == []


def test_nothing_below_the_reader_does_input_or_output() -> None:
    assert purity_faults(PACKAGE) == []


def test_every_folder_has_a_floor_and_holds_one_idea() -> None:
    assert room_faults(PACKAGE) == []


def test_no_file_or_function_is_too_large_and_no_module_has_a_vague_name() -> None:
    assert size_faults(PACKAGE) == []


def test_nine_of_ten_files_have_at_most_220_lines() -> None:
    lengths = sorted(path.read_text("utf-8").count("\n") for path in PACKAGE.rglob("*.py") if path.stem != "__init__")
    assert lengths[len(lengths) * 9 // 10] <= 220


def test_every_module_says_what_it_is() -> None:
    assert [module for module, tree in read(PACKAGE).items() if not ast.get_docstring(tree)] == []


def test_no_module_hides_a_public_name() -> None:
    script = """
import importlib, pkgutil, timesformer
names = [each.name for each in pkgutil.walk_packages(timesformer.__path__, "timesformer.")]
for name in names:
    if name != "timesformer.__main__":
        importlib.import_module(name)
print([name for name in timesformer.__all__ if type(getattr(timesformer, name)).__name__ == "module"])
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stderr


def test_public_names_exist_and_explain_themselves() -> None:
    names = set(getattr(timesformer, "__all__", ()))
    assert names >= PUBLIC, f"missing: {sorted(PUBLIC - names)}"
    for name in names:
        value = getattr(timesformer, name)
        if callable(value):
            own = vars(value).get("__doc__") if isinstance(value, type) else value.__doc__
            # a dataclass without one gets its signature as a docstring
            assert own and not own.startswith(f"{name}("), f"timesformer.{name} has no docstring"


MADE = [
    ({"config/a.py": "import math\nfrom dataclasses import field", "model/a.py": "import torch"}, []),
    ({"model/a.py": "from .b import x", "model/b.py": "",
      "cli/a.py": "def f():\n    from timesformer.verbs.train import g",
      "verbs/train.py": "import timesformer_extras", "__init__.py": "from timesformer.verbs.train import g"}, []),
    ({"video/reader.py": "import av\nfrom timesformer.video.decoder import index",
      "video/decoder/index.py": "import av",
      "data/manifest.py": "from timesformer.video.reader import read\nimport os"}, []),
    ({"model/a.py": "from timesformer.video.b import x", "video/b.py": ""},
     ["timesformer.model.a imports timesformer.video.b, which is on a higher floor"]),
    ({"data/care/a.py": "def f():\n    from timesformer.verbs import train", "verbs/train.py": ""},
     ["timesformer.data.care.a imports timesformer.verbs.train, which is on a higher floor"]),
    ({"cli/a.py": "from timesformer import train, recipes", "verbs/train.py": "def train(): ...",
      "recipes/__init__.py": "", "__init__.py": "from timesformer.verbs.train import train"},
     ["timesformer.cli.a imports timesformer, which is on a higher floor",
      "timesformer.cli.a takes train from the package root"]),
    ({"model/a.py": "from ..weights import b", "weights/b.py": ""},
     ["timesformer.model.a imports timesformer.weights.b, which is on a higher floor"]),
    ({"model/__init__.py": "from .a import x\nfrom ..weights import y", "model/a.py": "", "weights/__init__.py": ""},
     ["timesformer.model imports timesformer.weights, which is on a higher floor"]),
    ({"verbs/train.py": "import timesformer.machine", "machine.py": ""},
     ["timesformer.verbs.train takes timesformer.machine from the package root"]),
    ({"model/a.py": "from timesformer.model import b", "model/b.py": "import timesformer_extras\nfrom .a import y"},
     ["circular imports among timesformer.model.a, timesformer.model.b"]),
    ({"weights/a.py": "from timesformer.weights import b",
      "weights/b.py": "def f():\n    from timesformer.weights.a import y"},
     ["circular imports among timesformer.weights.a, timesformer.weights.b"]),
    ({"config/a.py": "import torch\nimport os.path"},
     ["timesformer.config.a imports os", "timesformer.config.a needs torch"]),
    ({"model/a.py": "from pathlib import Path\ndef f(x):\n    print(x)\n    torch.save(x, open('y'))"},
     ["timesformer.model.a imports pathlib", "timesformer.model.a calls open", "timesformer.model.a calls print",
      "timesformer.model.a calls torch.save"]),
    ({"video/sampling.py": "import av.video"}, ["timesformer.video.sampling knows the decoder"]),
    ({"weights/a.py": "def f():\n    import av"}, ["timesformer.weights.a knows the decoder"]),
    ({"training/new/a.py": "", "weights/loading.py": ""}, ["training.new has no entry in ROOMS"]),
    ({f"studies/a{number}.py": "" for number in range(15)}, ["studies has 15 modules"]),
    ({"weights/helpers.py": ""}, ["weights/helpers.py: helpers is no name"]),
    ({"serve/misc/__init__.py": "x = 1\n" * 301},
     ["serve.misc has no entry in ROOMS", "serve/misc/__init__.py: misc is no name",
      "serve/misc/__init__.py: 301 lines"]),
    ({"verbs/train.py": 'def f():\n    """Doc."""\n' + "    x = 1\n" * 59}, []),
    ({"verbs/train.py": "class A:\n    async def f(self):\n" + "        x = 1\n" * 60},
     ["verbs/train.py: f has 61 lines"]),
    ({"verbs/train.py": "def f(a, b, c, d, /, e, f, *g, h, i): ..."}, []),
    ({"verbs/train.py": "def f(a, b, c, d, /, e, f, *, g, h, i): ..."}, ["verbs/train.py: f has 9 parameters"]),
]  # fmt: skip


@pytest.mark.parametrize(("files", "faults"), MADE)
def test_the_checks_find_the_faults_of_made_packages_and_no_others(
    tmp_path: Path, files: dict[str, str], faults: list[str]
) -> None:
    package = tmp_path / "timesformer"
    for name, text in {"__init__.py": "", **files}.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text, "utf-8")
        (package / name).with_name("__init__.py").touch()
    assert floor_faults(package) + purity_faults(package) + room_faults(package) + size_faults(package) == faults


def test_the_map_names_every_room_and_only_files_that_exist() -> None:
    root = Path(__file__).parent.parent
    text = (root / "CONTRIBUTING.md").read_text("utf-8")
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    rooms |= {path.name for path in PACKAGE.glob("*.py") if not path.name.startswith("__")}
    table = {
        name.rstrip("/") for line in re.findall(r"^\| (`.*?) \|", text, re.M) for name in re.findall("`(.+?)`", line)
    }
    assert {name for name in table if not name.startswith("make ")} == rooms
    named = set(re.findall(r"`((?:[\w.]+/)*[\w.]+(?:/|\.py|\.md))`", text)) - {"site/"}
    assert not [name for name in named if not (root / name).exists() and not (PACKAGE / name).exists()]


def test_make_says_all_it_can_do_and_runs_scripts_that_exist() -> None:
    root = Path(__file__).parent.parent
    text = (root / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z]+):", text, re.M))
    assert {"demo", "test", "kills", "check"} < targets == {*re.findall(r'echo "make ([a-z]+) ', text), "help"}
    assert all((root / script).exists() for script in re.findall(r"python (\S+\.py)", text))
