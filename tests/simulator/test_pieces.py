"""Texts are cut as a model cuts them, and never inside a character."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamkeep.simulator import corpus
from streamkeep.simulator.pieces import clusters, pieces

SAMPLES = [*corpus.SCRIPTS.values(), *corpus.EMOJI, *corpus.CODE, corpus.PROSE[0][1]]


@pytest.mark.parametrize("text", SAMPLES, ids=lambda text: text[:12])
def test_pieces_joined_are_the_text(text: str) -> None:
    """Cutting loses and adds nothing."""
    assert text == "".join(pieces(text, Random(1)))


@given(st.text(), st.integers(0, 9))
def test_any_text_survives_cutting(text: str, seed: int) -> None:
    """Cutting loses and adds nothing, whatever the characters; no piece is empty."""
    cut = list(pieces(text, Random(seed)))

    assert text == "".join(cut)
    assert all(cut)


@given(st.text())
def test_a_piece_ends_where_a_cluster_ends(text: str) -> None:
    """No piece cuts a grapheme cluster."""
    ends, at = set(), 0
    for cluster in clusters(text):
        at += len(cluster)
        ends.add(at)
    reached = 0
    for piece in pieces(text, Random(0)):
        reached += len(piece)
        assert reached in ends


@pytest.mark.parametrize(
    "cluster",
    ["👨‍👩‍👧‍👦", "👩🏽‍🚀", "🇵🇹", "1️⃣", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "é", "क्षि", "น้ำ", "각", "\r\n", "❤️‍🔥"],
)
def test_a_cluster_stays_whole(cluster: str) -> None:
    """What a person sees as one character is one cluster, between others too."""
    assert ["a", cluster, "b"] == list(clusters(f"a{cluster}b"))


def test_neighbouring_flags_are_two_clusters() -> None:
    """Regional indicators pair up from the left."""
    assert ["🇵🇹", "🇯🇵", "🇫"] == list(clusters("🇵🇹🇯🇵🇫"))


def test_pieces_look_like_tokens() -> None:
    """A word keeps the space before it; punctuation and digits stand apart; long words come in parts."""
    cut = list(pieces("Two lamps, 1823: extraordinarily bright.", Random(3)))

    assert ["Two", " lamps", ",", " 182", "3", ":"] == cut[:6]
    assert max(map(len, cut)) <= 9
    assert " bright" in cut or " brigh" in cut or " brig" in cut


def test_the_same_randomness_gives_the_same_pieces() -> None:
    """Cutting is a function of the text and the random state."""
    text = corpus.PROSE[0][1]

    assert list(pieces(text, Random(5))) == list(pieces(text, Random(5)))
    assert list(pieces(text, Random(5))) != list(pieces(text, Random(6)))
