"""
Compose the text of an answer from the corpus.

Pure: no I/O, no clock; the randomness comes in as an argument.
"""

import json
from collections.abc import Sequence
from random import Random
from typing import Final

from streamkeep.simulator import corpus
from streamkeep.simulator.steering import MAX_COUNT, Steering

_SAMPLES: Final = {
    "table": corpus.TABLES,
    "code": corpus.CODE,
    "list": corpus.LISTS,
    "poem": corpus.POEMS,
    "emoji": corpus.EMOJI,
    "math": corpus.MATHS,
    **{name: (text,) for name, text in corpus.SCRIPTS.items()},
}


def compose(steering: Steering, random: Random) -> str:
    """
    Return the answer's text, as Markdown.
    """
    if steering.echo is not None:
        return steering.echo
    if steering.count is not None:
        return _count(steering.count)
    if "json" in steering.kinds:
        return json.dumps(random.choice(corpus.JSON_DOCUMENTS), ensure_ascii=False, indent=2)
    if steering.kinds and not steering.long:
        return "\n\n".join(
            [random.choice(corpus.OPENINGS), *(random.choice(_SAMPLES[kind]) for kind in steering.kinds)]
        )
    return _long(random) if steering.long else _varied(random)


def follow_up(results: Sequence[str], random: Random) -> str:
    """
    Return what a model says when its tools have answered.
    """
    heard = [" ".join(result.split())[:200] or "nothing" for result in results]
    said = (
        f"The tool says: {heard[0]}" if len(heard) == 1 else "\n".join(f"{n}. {one}" for n, one in enumerate(heard, 1))
    )
    return f"{said}\n\n{random.choice(corpus.CLOSINGS)}"


def _count(to: int) -> str:
    counted = ", ".join(str(number) for number in range(1, min(to, MAX_COUNT) + 1))
    return counted if to <= MAX_COUNT else f"{counted}\n\nI stop at {MAX_COUNT:,}."


def _section(random: Random, story: tuple[str, str]) -> str:
    kinds = random.sample(("table", "code", "list", "poem", "emoji", "math"), 3)
    return "\n\n".join([f"## {story[0]}", story[1], *(random.choice(_SAMPLES[kind]) for kind in kinds)])


def _varied(random: Random) -> str:
    title, prose = random.choice(corpus.PROSE)
    scripts = random.sample(sorted(corpus.SCRIPTS), 2)
    parts = [
        f"# {title}",
        random.choice(corpus.OPENINGS),
        prose,
        f"## In order\n\n{random.choice(corpus.LISTS)}",
        f"## In code\n\n{random.choice(corpus.CODE)}",
        f"## In numbers\n\n{random.choice(corpus.TABLES)}",
        "\n>\n".join(f"> {corpus.SCRIPTS[name]}" for name in scripts),
        random.choice(corpus.EMOJI),
        random.choice(corpus.CLOSINGS),
    ]
    return "\n\n".join(parts)


def _long(random: Random) -> str:
    sections = [_section(random, story) for story in random.sample(corpus.PROSE, len(corpus.PROSE))]
    return "\n\n".join([random.choice(corpus.OPENINGS), *sections, random.choice(corpus.CLOSINGS)])
