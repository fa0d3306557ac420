"""The table of scenarios, and the tables that are drawn from it."""

from pathlib import Path

import pytest

from benchmarks.peers import all_peers
from benchmarks.report import Measured, console, load, save
from benchmarks.run import Run
from benchmarks.scenarios import SCENARIOS, Scenario


def run(cpu_s: float, readers: int = 10) -> Run:
    return Run(
        readers=readers,
        not_complete=0,
        deltas=1000,
        cpu_s=cpu_s,
        wall_s=1,
        peak_rss_kib=2048,
        ttft_p50=1,
        ttft_p99=2,
        lag_p50=3,
        lag_p99=4,
        lag_max=5,
        whole_p50=6,
        whole_p99=7,
        load_share=0.25,
    )


def measured(scenario: Scenario) -> Measured:
    turns = {
        peer: [{name: run(cpu_s) for name in scenario.loads} for cpu_s in seconds]
        for peer, seconds in {"aiohttp": [0.04], "nginx": [0.01, 0.03, 0.02]}.items()
    }
    return Measured(date="today", command="python -m benchmarks", machine={"machine": "one"}, turns=turns)


@pytest.mark.parametrize("key", SCENARIOS)
def test_each_scenario_draws_its_table(key: str) -> None:
    """Every column can be had from what its loads give, and each peer has its row."""
    heads, _, *rows = console(SCENARIOS[key], measured(SCENARIOS[key])).splitlines()[:4]

    assert len(SCENARIOS[key].columns) + 4 == heads.count("|") - 1
    assert {"nginx", "aiohttp"} == {row.split()[1] for row in rows}


def test_a_table_has_medians_ranges_and_ratios() -> None:
    """The least is first; its ratio to itself is 1."""
    rows = console(SCENARIOS["B"], measured(SCENARIOS["B"])).splitlines()[2:4]
    cells = [[cell.strip() for cell in row.split("|")][1:6] for row in rows]

    assert [["nginx", "20.0", "10.0–30.0", "1.00", "0.50"], ["aiohttp", "40.0", "40.0–40.0", "2.00", "1.00"]] == cells


@pytest.mark.parametrize("key", SCENARIOS)
def test_a_scenario_is_bounded_and_names_known_peers(key: str) -> None:
    """A load that adds nothing fits well within its limit, and its quick form is no larger."""
    scenario = SCENARIOS[key]

    assert set(scenario.peers) <= set(all_peers())
    for each in scenario.loads.values():
        assert each.nominal_s + 5 < each.timeout_s
        assert each.quick().nominal_s <= each.nominal_s
        assert not each.until_s or each.skip_s < each.until_s <= each.nominal_s


def test_what_was_measured_is_kept(tmp_path: Path) -> None:
    """Raw figures are read back as they were written."""
    kept = {"B": measured(SCENARIOS["B"])}

    save(tmp_path / "results.json", kept)

    assert kept == load(tmp_path / "results.json")
    assert {} == load(tmp_path / "none.json")
