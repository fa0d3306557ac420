"""
Hold each pure module to 100 % of its branches, run by its own test file alone.

    python scripts/coverage_by_file.py [word ...]     only modules whose path contains one of the words

A branch that only some distant test happens to run is not covered here: who changes `src/streamkeep/sse.py`
must see it break in `tests/test_sse.py`. Which modules are pure is read from the import contract `purity`.
"""

import ast
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "streamkeep"

TEST_FILE_TIMEOUT_S = 300
"""Seconds for one test file under coverage; the slowest (properties of the event-stream codec) takes a few."""


MAX_OUTPUT = 4000
"""Characters of a failing run that are shown, from its end."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one module's own test file ran of it."""

    module: Path
    percent: float
    """Lines and branches together, 0 to 100."""
    missing: str
    """Empty when complete; otherwise what to look at."""


def main(words: list[str]) -> int:
    """Measure, print one line per module, and return 1 if any is incomplete."""
    modules = [each for each in pure_modules() if not words or any(word in str(each) for word in words)]
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        results = list(pool.map(measure, modules))
    for result in results:
        print(f"{result.percent:6.1f} %  {result.module.relative_to(ROOT)}  {result.missing}".rstrip())
    incomplete = [result for result in results if result.missing]
    print(f"{len(results) - len(incomplete)} of {len(results)} pure modules are covered by their own test file.")
    return 1 if incomplete or not results else 0


def pure_modules() -> list[Path]:
    """Return the files of the contract `purity` that contain code, sorted."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    names = next(each["source_modules"] for each in contracts if each["id"] == "purity")
    found: set[Path] = set()
    for name in names:
        path = PACKAGE.parent.joinpath(*name.split("."))
        found.update(path.rglob("*.py") if path.is_dir() else [path.with_suffix(".py")])
    return sorted(each for each in found if not each.exists() or not declares_only(each))


def declares_only(module: Path) -> bool:
    """Tell whether a file holds no code to run: protocols, field lists, constants, a package's docstring."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return all(map(_is_empty, functions))


def _is_empty(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return all(isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant) for each in function.body)


def test_file(module: Path) -> Path:
    """Return the mirrored path under tests/."""
    return ROOT / "tests" / module.relative_to(PACKAGE).with_name(f"test_{module.name}")


def measure(module: Path) -> Result:
    """Run one module's test file under coverage of that module only."""
    if not module.exists():
        return Result(module, 0.0, "the contract `purity` names it, and it does not exist")
    if not test_file(module).exists():
        return Result(module, 0.0, f"{test_file(module).relative_to(ROOT)} does not exist")
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        environment = {**os.environ, "COVERAGE_FILE": str(Path(folder) / "data")}
        run = subprocess.run(
            [*_coverage("run", "--branch", f"--include={module}", "-m", "pytest"), "-q", str(test_file(module))],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=TEST_FILE_TIMEOUT_S,
            check=False,
        )
        if run.returncode:
            return Result(module, 0.0, f"its tests fail:\n{run.stdout[-MAX_OUTPUT:]}")
        subprocess.run(
            _coverage("json", "-q", f"--include={module}", "-o", str(report)),
            cwd=ROOT,
            env=environment,
            capture_output=True,
            check=False,
        )
        if not report.exists():
            return Result(module, 0.0, "its tests never import it")
        return _read(module, report)


def _coverage(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "coverage", *arguments]


def _read(module: Path, report: Path) -> Result:
    measured = next(iter(json.loads(report.read_text(encoding="utf-8"))["files"].values()))
    lines = ", ".join(map(str, measured["missing_lines"]))
    branches = ", ".join(f"{source}->{target}" for source, target in measured["missing_branches"])
    missing = "; ".join(part for part in (lines and f"lines {lines}", branches and f"branches {branches}") if part)
    return Result(module, measured["summary"]["percent_covered"], missing)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
