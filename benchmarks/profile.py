"""
Say where the server's time goes, function by function.

    python -m benchmarks.profile [memory|sqlite|sqlite-full] [-s B|C|D|G|S] [--py-spy PATH]

Strategy
    Two passes of the same load: `perf`, if it is there, divides the time between the kernel and the libraries; then
    py-spy, or in its absence our own sampler inside the process, divides it between Python's functions. Shares are
    turned into microseconds for one delta (for one start in scenario S) by the CPU time of the first pass. A
    function's own time includes the kernel's and C's work that it asked for; with py-spy those stand apart.
"""

import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from os import kill
from pathlib import Path

import click

from benchmarks.figures import table
from benchmarks.load import Load
from benchmarks.peers import all_peers
from benchmarks.peers.base import ROOT, Peer, Place, program, python_path
from benchmarks.process import LOAD_CORE, Failed, allow_many_sockets, on_core
from benchmarks.run import Bench, Run, bench
from benchmarks.scenarios import SCENARIOS

RATE = 499
"""Samples a second; not a divisor of the loads' own rhythms."""

SETTLE_S = 0.4
"""Seconds for the reader's start and the last set-ups."""

SHOWN = 45
"""Functions in the table of own time; the rest is below a percent."""

OUTERMOST = 0.01
"""Least inclusive share that is shown."""

PYTHON = re.compile(r"\.py(?::\d+)?\)$|<frozen |<string>")
"""Ends of functions that are Python's."""

WAITING = ("PyThread_acquire_lock_timed ", "epoll_wait ", "epoll_pwait ")
"""Native functions in which a thread takes no time."""

COLLECTOR = ("gc_collect_main ", "gc_collect_main.")
"""The native function whose time belongs to no one: it strikes whoever makes the next object."""

KERNEL = {
    "write",
    "writev",
    "send",
    "sendmsg",
    "read",
    "recv",
    "pwrite64",
    "pread64",
    "fdatasync",
    "fsync",
    "epoll_ctl",
}
"""Calls into the kernel that are told apart."""

WHOLE = 0.99
"""From this share on it is what everything runs under, which says nothing."""

Record = Callable[[Bench, float, Path], None]
"""Samples a server for some seconds into a file."""


def steady(key: str) -> Load:
    """Give a scenario's load, long enough to sample; all but S without what is only set-up. Of G, 1,000 streams."""
    loads = SCENARIOS[key].loads
    if key in ("S", "G"):
        return loads.get("1000") or loads[""]
    return replace(loads[""], deltas=loads[""].deltas * 2, skip_s=loads[""].ramp_s + SETTLE_S)


def own_and_inclusive(folded: str) -> tuple[Counter[str], Counter[str], int]:
    """
    Count how often each function was innermost, and how often it was anywhere.

    Args:
        folded: Lines `outer;inner count`. Native functions count to the Python function that called them, but a call
            into the kernel stands apart, as `call() for function`, and so does the collection of garbage. Threads that
            wait do not count.

    Returns:
        Both counts, and the number of samples.
    """
    own: Counter[str] = Counter()
    inclusive: Counter[str] = Counter()
    for line in folded.splitlines():
        stack, _, number = line.rpartition(" ")
        native = stack.split(";")
        if any(each.startswith(WAITING) for each in native):
            continue
        functions = [_short(each) for each in native if PYTHON.search(each)] or [_short(native[-1])]
        own[_innermost(native, functions[-1])] += int(number)
        inclusive.update(dict.fromkeys(functions, int(number)))
    return own, inclusive, own.total()


def _innermost(native: list[str], function: str) -> str:
    """Name what took the time that Python's innermost function is seen to take."""
    if any(each.startswith(COLLECTOR) for each in native):
        return "garbage collection"
    call = native[-1].partition(" ")[0]
    return f"{call}() for {function}" if call in KERNEL else function


def _short(function: str) -> str:
    """Leave out lines and folders: `name (package/file.py)`."""
    name, _, place = function.partition(" (")
    file = re.sub(r":\d+$", "", place.rstrip(")"))
    file = re.sub(r"^.*?/(?:site-packages|lib/python3\.\d+|src)/", "", file)
    return f"{name} ({file})" if file else name


def by_library(report: str) -> list[tuple[str, float]]:
    """
    Read the shares of `perf report --sort dso`.

    Returns:
        `(library, share)`, the largest first; shares are 0 to 1.
    """
    found = re.findall(r"^\s*(\d+\.\d+)%\s+(\S+)", report, re.MULTILINE)
    return [(Path(name.strip("[]")).name, float(percent) / 100) for percent, name in found]


def sample(peer: Peer, load: Load, record: Record, result: Path) -> Run:
    """Put the load on a fresh server and record meanwhile."""
    with bench(peer, "HEAD") as ready, ThreadPoolExecutor(1) as pool:
        loaded = pool.submit(ready.load, load)
        time.sleep(SETTLE_S + load.skip_s)
        with on_core(LOAD_CORE):
            record(ready, (load.until_s or load.nominal_s) - load.skip_s - SETTLE_S, result)
        return loaded.result()


def with_perf(ready: Bench, seconds: float, result: Path) -> None:
    """Record with perf."""
    pids = ",".join(map(str, ready.server.family()))
    command = ["perf", "record", "-q", "-e", "cpu-clock", "-F", "1999", "-p", pids, "-o", str(result)]
    _record([*command, "--", "sleep", f"{seconds:.1f}"])


def with_py_spy(py_spy: str) -> Record:
    """Record with py-spy, native functions included."""

    def record(ready: Bench, seconds: float, result: Path) -> None:
        command = [
            py_spy,
            "record",
            "--native",
            "--function",
            "--full-filenames",
            "--format",
            "raw",
            "--rate",
            str(RATE),
        ]
        whole = str(max(1, round(seconds)))
        _record([*command, "--duration", whole, "--pid", str(ready.server.pid), "--output", str(result)])

    return record


def with_sampler(ready: Bench, seconds: float, result: Path) -> None:
    """Record with the sampler that the server was started under."""
    kill(ready.server.pid, signal.SIGUSR1)
    time.sleep(seconds)
    kill(ready.server.pid, signal.SIGUSR2)
    time.sleep(SETTLE_S)
    shutil.copy(ready.place.folder / "stacks", result)


def under_sampler(peer: Peer) -> Peer:
    """Give the same peer, started so that it samples itself."""

    def command(place: Place) -> list[str]:
        _, *arguments = peer.command(place)
        return program("benchmarks.sampler", str(place.folder / "stacks"), *arguments)

    environment = {**python_path(ROOT / "src", ROOT)}
    return replace(peer, command=command, environment=lambda place: {**peer.environment(place), **environment})


def _record(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"{command[0]}: {done.stderr.strip()[-300:]}")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("store", default="sqlite", type=click.Choice(["memory", "sqlite", "sqlite-full"]))
@click.option("-s", "--scenario", default="B", show_default=True, type=click.Choice(["B", "C", "D", "G", "S"]))
@click.option("--py-spy", default=lambda: shutil.which("py-spy") or "", help="Where py-spy is, if not on the PATH.")
@click.option("--keep", type=click.Path(path_type=Path), help="Folder for the raw stacks.")
def main(store: str, scenario: str, py_spy: str, keep: Path | None) -> None:
    """Say where the server's time goes."""
    allow_many_sockets()
    peer, load = all_peers()[f"streamkeep-{store}"], steady(scenario)
    with tempfile.TemporaryDirectory(prefix="profile-") as name:
        folder = keep or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        first = _libraries(peer, load, folder / "perf.data")
        if py_spy:
            run = sample(peer, load, with_py_spy(py_spy), folder / "stacks")
        else:
            click.echo(
                "py-spy is not installed: using the sampler in the process, which knows Python's functions only.\n"
            )
            run = sample(under_sampler(peer), load, with_sampler, folder / "stacks")
        each = _each(first or run, scenario)
        click.echo(
            f"{peer.name}, {SCENARIOS[scenario].what}\n{each:.1f} µs for one {_unit(scenario)}{_without(scenario)}\n"
        )
        if first:
            click.echo(_libraries_table(folder / "perf.data", each) + "\n")
        click.echo(functions_table((folder / "stacks").read_text(), each))


def _unit(scenario: str) -> str:
    return "start" if scenario == "S" else "delta"


def _without(scenario: str) -> str:
    return "" if scenario == "S" else ", starting and most endings not counted"


def _each(run: Run, scenario: str) -> float:
    return run.ms_per_stream * 1000 if scenario == "S" else run.us_per_delta or 0.0


def _libraries(peer: Peer, load: Load, data: Path) -> Run | None:
    if shutil.which("perf") is None:
        click.echo("perf is not installed: the kernel's part is not known.")
        return None
    try:
        return sample(peer, load, with_perf, data)
    except Failed as error:
        click.echo(f"perf cannot sample here: {error}")
        return None


def _libraries_table(data: Path, each: float) -> str:
    command = ["perf", "report", "--stdio", "--sort", "dso", "-i", str(data)]
    report = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    rows = [[name, f"{share:.1%}", f"{share * each:.2f}"] for name, share in by_library(report) if share >= OUTERMOST]
    return table(["kernel and libraries", "share", "µs"], rows)


def functions_table(folded: str, each: float) -> str:
    """Draw the functions by their own time, then by what they and all they call took."""
    own, inclusive, samples = own_and_inclusive(folded)
    if not samples:
        return "No samples were taken."

    def rows(counts: Counter[str], most: int) -> list[list[str]]:
        shares = [(name, number / samples) for name, number in counts.most_common(most)]
        return [[name, f"{share:.1%}", f"{share * each:.2f}"] for name, share in shares if share >= OUTERMOST / 2]

    owned = table(["own time", "share", "µs"], rows(own, SHOWN))
    ours = Counter({name: number for name, number in inclusive.items() if OUTERMOST <= number / samples < WHOLE})
    return f"{samples} samples\n\n{owned}\n\n{table(['with all that it calls', 'share', 'µs'], rows(ours, 2 * SHOWN))}"


if __name__ == "__main__":
    main()
