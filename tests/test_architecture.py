"""Rules about the tree itself: what a machine can check of the architecture, it checks here."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from functools import cache
from itertools import chain
from pathlib import Path

import pytest

from scripts.coverage_by_file import declares_only, pure_modules
from streamkeep import errors

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "streamkeep"
TESTS = ROOT / "tests"
VECTORS = ROOT / "spec" / "vectors"
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

SOURCES = sorted(PACKAGE.rglob("*.py"))
TEST_FILES = sorted(TESTS.rglob("test_*.py"))

FILE_LINES = 450
"""Lines in one source file, all counted; a longer one holds two concepts."""

FUNCTION_LINES = 80
"""Lines of one function, its docstring not counted; a longer one cannot be read at a glance."""

FUNCTION_LINES_P95 = 40
"""What 95 of 100 functions stay within."""

PLUGINS = {"providers": "PROVIDER", "wire": "WIRE", "stores": "STORE", "cli": "COMMAND"}
"""Folder of plugins → the constant that each file in it ends in."""

WITHOUT_TEST_FILE = {
    "__main__.py": "calls main() and nothing else",
}
"""Source files that need no test file of their own → why."""

TRANSITIVE = {
    "anyio": "Starlette runs on it",
    "pydantic": "FastAPI's models are its models",
    "starlette": "FastAPI is built on it and gives out its classes",
}
"""Packages that may be imported although pyproject.toml does not name them → which named one brings them."""

SHADY_NAMES = {"common", "core", "helpers", "manager", "misc", "utils"}
"""Module names that say nothing about what is inside."""


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def plugin_files() -> list[tuple[Path, str]]:
    return [
        (path, constant)
        for folder, constant in PLUGINS.items()
        for path in sorted((PACKAGE / folder).glob("*.py"))
        if path.stem not in ("__init__", "__main__", "base")
    ]


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the function's lines from `def` to its end, its docstring and its inner functions' lines not counted."""
    first = function.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    own_docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
    return (function.end_lineno or 0) - function.lineno + 1 - own_docstring


def rules_in(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield the tests of a file; each is a rule."""
    return (each for each in functions(path) if each.name.startswith("test_"))


@cache
def tracked_text() -> dict[str, str]:
    """Return every text file of the project; without git (an unpacked archive), what .gitignore's first lines leave."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    ignored = {".git", ".venv", "node_modules", "__pycache__"}
    paths = (
        [ROOT / name for name in listed.stdout.split("\0") if name]
        if listed.returncode == 0
        else [path for path in ROOT.rglob("*") if not ignored & set(path.parts) and "_cache" not in str(path)]
    )
    found = {}
    for path in paths:
        try:
            found[relative(path)] = path.read_text(encoding="utf-8")
        except (UnicodeDecodeError, OSError):  # pictures, folders, files removed but not yet committed
            continue
    return found


# ---------------------------------------------------------------------------------------------------------------------
# Files


def test_each_source_file_has_its_test_file() -> None:
    """One file = one concept = one test file, at the mirrored path."""
    missing = [f"{relative(path)} -> {relative(mirror(path))}" for path in SOURCES if needs_test(path)]

    assert [] == missing


def mirror(path: Path) -> Path:
    """Name the test file of a source file; that of a package's own code is named after the package."""
    stem = path.parent.name if path.stem == "__init__" else path.stem
    return TESTS / path.relative_to(PACKAGE).with_name(f"test_{stem}.py")


def needs_test(path: Path) -> bool:
    return not (path.name in WITHOUT_TEST_FILE or mirror(path).exists() or declares_only(path))


def test_no_source_file_is_too_long() -> None:
    """A source file stays within its budget."""
    sizes = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}

    assert {} == {path: size for path, size in sizes.items() if size > FILE_LINES}


def test_functions_are_short() -> None:
    """A function stays within its budget, and nearly all stay well within it."""
    sizes = {
        f"{relative(path)}:{each.lineno} {each.name}": lines_of(each) for path in SOURCES for each in functions(path)
    }
    in_order = sorted(sizes.values())

    assert {} == {name: size for name, size in sizes.items() if size > FUNCTION_LINES}
    assert in_order[int(len(in_order) * 0.95)] <= FUNCTION_LINES_P95


def test_no_module_has_a_name_that_says_nothing() -> None:
    """A module is named for what it holds."""
    assert [] == [relative(path) for path in SOURCES if path.stem in SHADY_NAMES or path.parent.name in SHADY_NAMES]


# ---------------------------------------------------------------------------------------------------------------------
# Imports


def test_the_import_contracts_hold() -> None:
    """Imports go down the layers, pure modules stay pure (I9), plugins stay apart; the list is in pyproject.toml."""
    linter = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo"]

    run = subprocess.run(linter, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    assert run.returncode == 0, run.stdout + run.stderr


def test_each_imported_package_is_a_declared_dependency() -> None:
    """What the package imports, pyproject.toml installs."""
    extras = chain.from_iterable(SETTINGS["project"]["optional-dependencies"].values())
    declared = {distribution(each) for each in chain(SETTINGS["project"]["dependencies"], extras)}
    imported = {(name, relative(path)) for path in SOURCES for name in imported_packages(path)}
    known = declared | set(TRANSITIVE) | set(sys.stdlib_module_names) | {"streamkeep"}

    assert [] == sorted((name, path) for name, path in imported if name not in known)


def distribution(requirement: str) -> str:
    return re.split(r"[\[<>=!~; ]", requirement)[0].lower().replace("-", "_")


def imported_packages(path: Path) -> set[str]:
    nodes = list(ast.walk(tree(path)))
    plain = (alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names)
    named = (node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module)
    return {name.partition(".")[0] for name in chain(plain, named)}


@pytest.mark.parametrize("lock", ["run", "dev"])
def test_a_lock_pins_every_dependency_by_hash(lock: str) -> None:
    """A set-up installs what was tested, whatever index it comes from."""
    text = (ROOT / "requirements" / f"{lock}.lock").read_text(encoding="utf-8")
    pinned = {distribution(line) for line in text.splitlines() if "==" in line}
    groups = SETTINGS["dependency-groups"]
    wanted = SETTINGS["project"]["dependencies"] + groups["build"] + (groups["dev"] if lock == "dev" else [])

    assert set() == {distribution(each) for each in wanted} - pinned
    assert len(pinned) == len(re.findall(r"^\S+==\S+ .*\\\n    --hash=sha256:", text, re.MULTILINE))
    assert "://" not in text


# ---------------------------------------------------------------------------------------------------------------------
# Plugins


@pytest.mark.parametrize("path, constant", plugin_files(), ids=lambda value: getattr(value, "stem", value))
def test_a_plugin_file_ends_in_its_one_constant(path: Path, constant: str) -> None:
    """A plugin is one file that gives one constant; the file's name is the plugin's name."""
    targets = [target for node in tree(path).body if isinstance(node, ast.Assign) for target in node.targets]
    annotated = [node.target for node in tree(path).body if isinstance(node, ast.AnnAssign)]
    given = [each.id for each in chain(targets, annotated) if isinstance(each, ast.Name) and each.id == constant]
    plugin = getattr(importlib.import_module(module_name(path)), constant, None)

    assert [constant] == given
    assert path.stem == getattr(plugin, "name", path.stem).replace("-", "_")


@pytest.mark.parametrize(
    "path",
    [path for path, constant in plugin_files() if constant in ("PROVIDER", "WIRE")],
    ids=lambda path: f"{path.parent.name}-{path.stem}",
)
def test_a_dialect_has_vectors(path: Path) -> None:
    """A provider or wire is described by data that any language can run."""
    folder = VECTORS / path.stem if path.parent.name == "providers" else VECTORS / "wire" / path.stem

    assert any(each.is_file() for each in folder.rglob("*")), f"no vectors in {relative(folder)}"


def vector_folders() -> list[Path]:
    folders = [each for each in VECTORS.iterdir() if each.is_dir()] if VECTORS.exists() else []
    wires = [each for each in (VECTORS / "wire").iterdir() if each.is_dir()] if (VECTORS / "wire").exists() else []
    return sorted(chain(folders, wires))


@pytest.mark.parametrize("folder", vector_folders(), ids=lambda folder: str(folder.relative_to(VECTORS)))
def test_vectors_are_run_by_a_test(folder: Path) -> None:
    """Data that no test reads proves nothing."""
    users = [path.read_text(encoding="utf-8") for path in [*TEST_FILES, *(PACKAGE / "testing").rglob("*.py")]]

    assert any(re.search(rf"""["'/]{re.escape(folder.name)}["'/]""", text) for text in users)


# ---------------------------------------------------------------------------------------------------------------------
# Words


def drawn_errors() -> list[tuple[str, str]]:
    """Return (class, parent) of each line in the drawing of errors.py, in the drawing's order."""
    drawn: list[tuple[str, str]] = []
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.fullmatch(r"((?:│   |    )*)(├── |└── )?(\w+Error|\w+)", line)
        if found and (found[2] or found[3] == "StreamkeepError"):
            depth = len(found[1]) // 4 + bool(found[2])
            path[depth:] = [found[3]]
            drawn.append((found[3], path[depth - 1] if depth else "Exception"))
    return drawn


def test_the_drawing_of_the_errors_is_the_errors() -> None:
    """The tree in errors.py's docstring names each class once, under its parent, in the file's order."""
    classes = [each for each in vars(errors).values() if inspect.isclass(each) and each.__module__ == errors.__name__]

    assert drawn_errors() == [(each.__name__, each.__bases__[0].__name__) for each in classes]


def test_each_error_has_a_code_of_its_own() -> None:
    """`code` is stable, in snake_case, and tells the leaves apart."""
    parents = {parent for _, parent in drawn_errors()}
    codes = {name: getattr(errors, name).code for name, _ in drawn_errors() if name not in parents}

    assert [] == [code for code in codes.values() if not re.fullmatch(r"[a-z]+(_[a-z]+)*", code)]
    assert len(codes) == len(set(codes.values()))


def test_each_public_name_has_a_docstring() -> None:
    """Modules, classes, functions and methods that others may use say what they are."""
    assert [] == [f"{relative(path)}: {name}" for path in SOURCES for name in undocumented(tree(path), "")]


def undocumented(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> Iterator[str]:
    """Yield the public names below a node that have no docstring; what overrides a documented method needs none."""
    if ast.get_docstring(node) is None and not is_override(node):
        yield name or "the module"
    if isinstance(node, ast.Module | ast.ClassDef):
        for inner in node.body:
            if isinstance(inner, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and inner.name[0] != "_":
                yield from undocumented(inner, f"{name}.{inner.name}".lstrip("."))


def is_override(node: ast.AST) -> bool:
    marks = getattr(node, "decorator_list", [])
    return any(isinstance(each, ast.Name) and each.id in ("override", "overload") for each in marks)


def test_each_limit_says_its_unit_and_reason() -> None:
    """I10: a public number of a module is followed by a docstring."""
    assert [] == [f"{relative(path)}: {name}" for path in SOURCES for name in bare_limits(tree(path).body)]


def bare_limits(body: list[ast.stmt]) -> Iterator[str]:
    for node, following in zip(body, [*body[1:], None], strict=True):
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if not isinstance(target, ast.Name) or not re.fullmatch(r"[A-Z][A-Z0-9_]*", target.id):
            continue
        value = getattr(node, "value", None)
        numeric = isinstance(value, ast.BinOp) or (
            isinstance(value, ast.Constant) and type(value.value) in (int, float)
        )
        documented = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
        if numeric and not documented:
            yield target.id


# The hosts are spelled in pieces, so that this file passes its own rule.
HOSTS = re.compile(
    "|".join(rf"{name}\.{domain}" for name, domain in {"pythonhosted": "org", "pypi": "org", "npmjs": "org"}.items())
    + rf"|deb\.{'debian'}\.org|crates\.{'io'}",
    re.IGNORECASE,
)
ORDINARY_FOLDERS = {"/", "/tmp", "/srv", "/opt", "/var", "/home", "/usr", "/root"}


def test_no_file_names_a_package_host() -> None:
    """Packages come from wherever the reader's machine is set up to get them."""
    assert [] == [place for name, text in tracked_text().items() for place in places(HOSTS, name, text)]


def test_no_file_names_a_folder_of_this_machine() -> None:
    """What is written here is true on every machine."""
    here = {str(each) for each in (ROOT, ROOT.parent, Path.home())} - ORDINARY_FOLDERS
    pattern = re.compile(r"(?<![A-Za-z0-9_./-])(?:" + "|".join(map(re.escape, sorted(here))) + r")/[a-z.]")

    assert [] == [place for name, text in tracked_text().items() if here for place in places(pattern, name, text)]


def places(pattern: re.Pattern[str], name: str, text: str) -> list[str]:
    found = pattern.finditer(text) if not name.endswith(".svg") else ()
    return [f"{name}:{text.count(chr(10), 0, each.start()) + 1}: {each[0]}" for each in found]


# ---------------------------------------------------------------------------------------------------------------------
# Tests


def test_each_test_states_its_rule() -> None:
    """A test's docstring is the rule it holds."""
    assert [] == [
        f"{relative(path)}:{each.lineno} {each.name}"
        for path in TEST_FILES
        for each in rules_in(path)
        if ast.get_docstring(each) is None
    ]


def test_no_test_sleeps_on_the_wall_clock() -> None:
    """Only tests of real processes (tests/e2e, tests/interop) may wait for time to pass."""
    quick = [path for path in sorted(TESTS.rglob("*.py")) if path.parent.name not in ("e2e", "interop")]

    assert [] == [f"{relative(path)}:{line}" for path in quick for line in sleeps(path)]


def sleeps(path: Path) -> list[int]:
    """Return the lines that call a `sleep`; sleep(0) only lets others run."""
    calls = (node for node in ast.walk(tree(path)) if isinstance(node, ast.Call) and called(node) == "sleep")
    return [node.lineno for node in calls if [ast.dump(arg) for arg in node.args] != [ast.dump(ast.Constant(0))]]


def called(node: ast.Call) -> str:
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


@pytest.mark.parametrize("invariant", [f"I{number}" for number in range(1, 16)])
def test_each_invariant_is_held_by_a_test(invariant: str) -> None:
    """What docs/architecture.md promises by number, at least one test cites in its docstring."""
    holders = [
        each.name
        for path in TEST_FILES
        if path != Path(__file__)
        for each in rules_in(path)
        if re.search(rf"\b{invariant}\b", ast.get_docstring(each) or "")
    ]

    assert holders, f"no test cites {invariant}"


# ---------------------------------------------------------------------------------------------------------------------
# Documents


RULE = re.compile(r"^(?:#{2,6} |[-*] )?(?:\*\*)?(\d+)\.(\d+)\b", re.MULTILINE)
"""The head of one rule: `3.2` at the start of a line, a heading or a list item, bold or not."""


def test_the_protocol_is_numbered_without_gaps() -> None:
    """PROTOCOL.md's rules can be cited: each has the next number of its section."""
    text = (ROOT / "PROTOCOL.md").read_text(encoding="utf-8")
    numbers = [(int(section), int(rule)) for section, rule in RULE.findall(text)]

    assert numbers
    assert numbers == expected_numbers(numbers)


def expected_numbers(numbers: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the same count of rules in each section, numbered as they should be."""
    sections = list(dict.fromkeys(section for section, _ in numbers))
    counts: dict[int, int] = {section: sum(each == section for each, _ in numbers) for section in sections}
    return [(place, rule) for place, each in enumerate(sections, 1) for rule in range(1, counts[each] + 1)]


def test_each_document_that_code_points_to_exists() -> None:
    """A reader who is sent to a page by a docstring or comment finds it."""
    pages = {Path(name).name for name in tracked_text() if name.endswith(".md")}
    code = [ROOT / name for name in tracked_text() if name.endswith(".py")]
    named = {(relative(path), page) for path in code for page in re.findall(r"[\w-]+\.md\b", remarks(path))}

    assert [] == sorted((name, page) for name, page in named if page not in pages)


def remarks(path: Path) -> str:
    """Return a file's docstrings and comments, joined."""
    with path.open("rb") as file:
        comments = [each.string for each in tokenize.tokenize(file.readline) if each.type == tokenize.COMMENT]
    alone = (node.value for node in ast.walk(tree(path)) if isinstance(node, ast.Expr))
    return "\n".join([*comments, *(str(each.value) for each in alone if isinstance(each, ast.Constant))])


def test_the_changelog_opens_with_the_packages_version() -> None:
    """The version that is installed is the one whose changes are listed first."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    first = re.search(r"^## \[(\d[^\]]*)\]", text, re.MULTILINE)

    assert first
    assert SETTINGS["project"]["version"] == first[1]


def test_the_readme_says_how_to_run_the_tests() -> None:
    """CI runs the command that the README gives, so it must be there to be found."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    assert re.search(r"^(\$ )?make test\b", text, re.MULTILINE)


def test_each_pure_module_says_so() -> None:
    """A reader sees on the first screen what the contract `purity` proves (I9)."""
    docstrings = {path: ast.get_docstring(tree(path)) or "" for path in pure_modules()}

    assert [] == [relative(path) for path, text in docstrings.items() if "Pure: no I/O, no clock" not in text]
