"""The command line."""

from click.testing import CliRunner

from benchmarks.__main__ import main
from benchmarks.peers import all_peers
from benchmarks.scenarios import SCENARIOS


def test_the_list_names_every_scenario_and_peer() -> None:
    """What can be asked for is found without reading the code."""
    text = CliRunner().invoke(main, ["--list"]).output

    assert [] == [name for name in [*SCENARIOS, *all_peers()] if name not in text]


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    """A slip of the finger starts nothing."""
    result = CliRunner().invoke(main, ["-s", "Z"])

    assert 2 == result.exit_code
    assert "'Z' is none of T, B" in result.output
