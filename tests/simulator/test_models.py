"""The list of models has the shape of the Models API."""

import pytest
from anthropic.types import ModelInfo

from streamkeep.simulator import models
from streamkeep.simulator.options import Options
from streamkeep.simulator.refusals import Refused

NAMES = ["simulated-1", "simulated-1-fast", "simulated-1-thinking"]


def ids(query: dict[str, str]) -> list[str]:
    return [each["id"] for each in models.page(query)["data"]]


@pytest.mark.parametrize("name", NAMES)
def test_a_model_is_what_the_sdk_knows(name: str) -> None:
    """The judge is the official SDK's own type."""
    shown = ModelInfo.model_validate(models.model(name))

    assert (name, "active") == (shown.id, shown.lifecycle)
    assert shown.capabilities is not None
    assert shown.capabilities.thinking.types.adaptive.supported


def test_the_fast_model_is_faster() -> None:
    """Sooner to the first token and after it; every other model keeps the simulator's pace."""
    defaults = Options(ttft_s=0.4, tokens_per_s=50.0, seed=3)

    assert Options(ttft_s=0.1, tokens_per_s=200.0, seed=3) == models.pace_of("simulated-1-fast", defaults)
    assert defaults == models.pace_of("simulated-1", defaults) == models.pace_of("other", defaults)


def test_an_unknown_model_is_not_found() -> None:
    """Only listed ones can be looked up."""
    with pytest.raises(Refused) as refused:
        models.model("claude-next")

    assert 404 == refused.value.refusal.status


def test_the_list_is_paged() -> None:
    """Forward and backward, by id."""
    assert NAMES == ids({})
    assert (NAMES[:2], NAMES[1:]) == (ids({"limit": "2"}), ids({"after_id": NAMES[0]}))
    assert (NAMES[1:2], NAMES[:2]) == (ids({"before_id": NAMES[2], "limit": "1"}), ids({"before_id": NAMES[2]}))
    assert [True, False] == [models.page({"limit": limit})["has_more"] for limit in ("2", "3")]
    assert (NAMES[0], NAMES[2]) == (models.page({})["first_id"], models.page({})["last_id"])
    assert {"data": [], "has_more": False, "first_id": None, "last_id": None} == models.page({"after_id": NAMES[2]})


@pytest.mark.parametrize(
    "query", [{"limit": "0"}, {"limit": "x"}, {"limit": "1001"}, {"after_id": "x"}, {"before_id": "x"}]
)
def test_a_wrong_page_is_refused(query: dict[str, str]) -> None:
    """By the parameter's name."""
    with pytest.raises(Refused, match=next(iter(query))):
        models.page(query)
