"""Run a harness: under atheris if it is installed, else on random inputs, or on files once more."""

import argparse
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

try:
    import atheris
except ModuleNotFoundError:
    atheris = None

MAX_WORDS = 60
"""Most words of a random body. Reason: the bugs of a reader need few lines or events; more would only be slower."""

RANDOM_S = 10.0
"""Seconds of random inputs where none are asked for."""


def run(check: Callable[[bytes], None], words: Sequence[bytes], *, choices: int) -> None:
    """
    Do what the command line says.

    Args:
        check: Holds one input to the invariant.
        words: What random bodies are made of.
        choices: Bytes at an input's beginning that choose how the rest is read.
    """
    parser = argparse.ArgumentParser(description="See the first lines of the harness.")
    parser.add_argument("--seconds", type=float, help="random inputs for so long, without atheris")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("inputs", nargs="*", type=Path)
    options, _ = parser.parse_known_args()
    for path in filter(Path.is_file, options.inputs):
        check(path.read_bytes())
    if options.seconds is None and atheris is not None:
        atheris.Setup(sys.argv, check)
        atheris.Fuzz()
    elif not options.inputs:
        source = random.Random(options.seed)
        count = at_random(check, words, choices, source, options.seconds or RANDOM_S)
        sys.stdout.write(f"{count} bodies hold the invariant (seed {options.seed})\n")


def at_random(
    check: Callable[[bytes], None], words: Sequence[bytes], choices: int, source: random.Random, seconds: float
) -> int:
    """Check random bodies for a while and tell how many; a failing one is written out as hexadecimal."""
    until = time.monotonic() + seconds
    count = 0
    while time.monotonic() < until:
        data = source.randbytes(choices) + b"".join(source.choices(words, k=source.randrange(MAX_WORDS)))
        try:
            check(data)
        except Exception:
            sys.stderr.write(f"fails, input {data.hex()}\n")
            raise
        count += 1
    return count
