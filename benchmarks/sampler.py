"""
Run a Python program and note, at regular intervals of its CPU time, which functions it is in.

    python -m benchmarks.sampler FOLDED -m streamkeep serve ...

Strategy
    For machines without py-spy. A timer of CPU time (`ITIMER_PROF`) sends a signal, whose handler counts the stack.
    Python runs handlers between two steps of its own, so the time of a call into the kernel or into C is counted to
    the Python function that made it, or to the next one that begins. SIGUSR1 begins; SIGUSR2 writes the stacks,
    folded: `function (file:line);function (file:line) count`.
"""

import runpy
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

INTERVAL_S = 0.002
"""CPU time between two samples, in seconds; the kernel makes its own tick of it, mostly 4 or 10 ms."""

DEPTH = 60
"""Functions of one stack that are kept, from the innermost."""


class Sampler:
    """Counts stacks from `start` to `stop`."""

    def __init__(self) -> None:
        self.stacks: Counter[str] = Counter()

    def start(self) -> None:
        """Begin."""
        signal.signal(signal.SIGPROF, self._note)
        signal.setitimer(signal.ITIMER_PROF, INTERVAL_S, INTERVAL_S)

    def stop(self) -> None:
        """End."""
        signal.setitimer(signal.ITIMER_PROF, 0)

    def folded(self) -> str:
        """Write the stacks, one in a line, with their number."""
        return "".join(f"{stack} {number}\n" for stack, number in self.stacks.most_common())

    def _note(self, _: int, frame: FrameType | None) -> None:
        names: list[str] = []
        while frame is not None and len(names) < DEPTH:
            names.append(f"{frame.f_code.co_qualname} ({frame.f_code.co_filename}:{frame.f_lineno})")
            frame = frame.f_back
        self.stacks[";".join(reversed(names))] += 1


def main(target: Path, arguments: list[str]) -> None:
    """Run `-m module arguments...` and write its stacks."""
    sampler = Sampler()
    sys.argv = arguments[1:]
    # A handler for SIGTERM that the program does not replace would lose the samples.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGUSR1, lambda *_: sampler.start())
    signal.signal(signal.SIGUSR2, lambda *_: target.write_text(sampler.folded()))
    runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
