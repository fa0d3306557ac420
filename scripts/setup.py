"""
Make `.venv` hold exactly what a lock file names, and the project itself, editable.

    python3 scripts/setup.py run     what `streamkeep serve` needs
    python3 scripts/setup.py dev     that, and what the tests and checks need

Only the standard library, so that it runs before anything is installed. Packages come from the index that
this machine's pip is configured with, and are refused when their hash is not the lock's. A stamp keyed by the
content of the lock and of pyproject.toml's project table makes the second run instant.
"""

from __future__ import annotations  # so that an old Python gets as far as being told that it is too old

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if sys.platform == "win32" else "bin")
OLDEST_PYTHON = (3, 11)

LOCK_WAIT_S = 600
"""Seconds that one set-up waits for another in the same checkout; a cold one takes about a minute."""

APT_TIMEOUT_S = 600
"""Seconds for one apt-get call; Chromium and what it needs are some 300 MB."""

SYSTEM_PROGRAMS = {
    "chromium": "the tests that drive a browser",
    "nginx": "the tests behind a proxy",
    "redis-server": "the tests of the Redis store",
}
"""Programs that some tests start → which tests are skipped without them. Debian's packages have the same names."""


def main(arguments: list[str]) -> int:
    """Run one set-up and say on stderr what it does. Returns the exit status."""
    if arguments not in (["run"], ["dev"]):
        return _fail("usage: python3 scripts/setup.py run|dev")
    level = arguments[0]
    try:
        _require_python()
        if _is_current(level):
            return 0
        with _one_at_a_time():
            if not _is_current(level):
                _make_venv()
                _install(level)
    except SetupError as error:
        return _fail(str(error))
    except subprocess.CalledProcessError as error:
        return _fail(f"`{' '.join(map(str, error.cmd))}` failed (status {error.returncode}); its own words are above.")
    return 0


class SetupError(Exception):
    """Something that the person at the keyboard can mend; the text says how."""


def _require_python() -> None:
    if sys.version_info < OLDEST_PYTHON:
        found = ".".join(map(str, sys.version_info[:2]))
        raise SetupError(f"Streamkeep needs Python 3.11 or newer; this is {found}. Try: make PYTHON=python3.12 …")


def _is_current(level: str) -> bool:
    """Tell whether the environment already has this level, or the larger one that includes it."""
    return any(_stamp(each).exists() for each in ("dev", level))


def _stamp(level: str) -> Path:
    return VENV / f".ready-{level}-{_digest(level)}"


def _digest(level: str) -> str:
    import tomllib

    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    # The folder counts: an editable install, and every script in .venv/bin, names it.
    identity = repr((settings["build-system"], settings["project"], sys.version_info[:2], str(ROOT)))
    return hashlib.sha256(_lock(level).read_bytes() + identity.encode()).hexdigest()[:16]


def _lock(level: str) -> Path:
    return ROOT / "requirements" / f"{level}.lock"


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Keep two set-ups of one checkout (`make run` in one terminal, `make test` in another) from mixing."""
    if sys.platform == "win32":
        yield
        return
    import fcntl
    import signal

    def give_up(*_: object) -> None:
        raise SetupError(f"another set-up of {ROOT} has not finished in {LOCK_WAIT_S} s; end it and try again.")

    with (ROOT / "requirements" / "run.lock").open() as lock:
        signal.signal(signal.SIGALRM, give_up)
        signal.alarm(LOCK_WAIT_S)
        fcntl.flock(lock, fcntl.LOCK_EX)
        signal.alarm(0)
        yield


def _make_venv() -> None:
    if (BIN / "pip").exists() and _venv_python() == sys.version_info[:2]:
        return
    try:
        import ensurepip  # noqa: F401  Debian ships `venv` without it.
        import venv  # noqa: F401
    except ImportError:
        raise SetupError(
            "this Python cannot make virtual environments with pip in them. "
            "On Debian and Ubuntu: apt-get install python3-venv (as root), then run the same command again."
        ) from None
    _say("making .venv")
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True)


def _venv_python() -> tuple[int, ...]:
    """Return major and minor version of the Python that the environment was made with."""
    found = re.search(
        r"^version(?:_info)? *= *(\d+)\.(\d+)", (VENV / "pyvenv.cfg").read_text(encoding="utf-8"), re.MULTILINE
    )
    return tuple(map(int, found.groups())) if found else ()


def _install(level: str) -> None:
    _say(f"installing {_lock(level).relative_to(ROOT)} (about a minute the first time)")
    pip = [str(BIN / "python"), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    subprocess.run([*pip, "--require-hashes", "-r", str(_lock(level))], check=True)
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "-e", str(ROOT)], check=True)
    if level == "dev":
        _install_system_programs()
    for old in VENV.glob(".ready-*"):
        old.unlink()
    _stamp(level).touch()


def _install_system_programs() -> None:
    """Install what is missing where that is ours to do (Debian, root); elsewhere say what is missing."""
    missing = [name for name in SYSTEM_PROGRAMS if not _on_path(name)]
    if missing and shutil.which("apt-get") and os.geteuid() == 0:
        _say(f"installing {', '.join(missing)} with apt-get")
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for call in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends", *missing]):
            with contextlib.suppress(subprocess.TimeoutExpired):
                subprocess.run(
                    ["apt-get", *call], env=environment, stdout=subprocess.DEVNULL, timeout=APT_TIMEOUT_S, check=False
                )
        missing = [name for name in missing if not _on_path(name)]
    for name in missing:
        _say(f"{name} is not installed: {SYSTEM_PROGRAMS[name]} will be skipped")


def _on_path(program: str) -> bool:
    # Debian keeps servers in /usr/sbin, which is not on every user's PATH.
    return shutil.which(program, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin") is not None


def _say(text: str) -> None:
    print(f"setup: {text}", file=sys.stderr, flush=True)


def _fail(text: str) -> int:
    _say(text)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
