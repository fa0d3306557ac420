"""What a figure depends on besides the code: the machine and the versions."""

import importlib.metadata
import os
import platform
import shutil
import sqlite3
import subprocess
from pathlib import Path

from benchmarks.peers.base import ROOT

PACKAGES = ("aiohttp", "uvicorn", "uvloop", "httptools", "fastapi", "msgspec", "anthropic", "httpx2")
"""Whose versions matter."""


def describe() -> dict[str, str]:
    """Name the machine, the versions and the commit."""
    return {
        "machine": f"{os.cpu_count()} x {_processor()}, {_memory_gib()} GiB, {platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        **{name: _version(name) for name in PACKAGES},
        "nginx": _said("nginx", "-v").rpartition("/")[2] or "-",
        "commit": _commit(),
        "load before": f"{os.getloadavg()[0]:.1f}",
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_gib() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "-"


def _said(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return ""
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return (run.stdout + run.stderr).strip() if run.returncode == 0 else ""


def _commit() -> str:
    changed = " with changes" if _said("git", "status", "--porcelain", "--", "src") else ""
    return (_said("git", "rev-parse", "--short", "HEAD") or "unknown") + changed
