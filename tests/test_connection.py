"""One connection to a model's API, fed with bytes by hand."""

import asyncio
import gzip
from typing import Any

import pytest

from streamkeep.connection import MAX_EARLY_BYTES, MAX_HEADER_BYTES, MAX_INFLATED_BYTES, Connection, head_of
from streamkeep.errors import UpstreamBroken, UpstreamGone

pytestmark = pytest.mark.anyio

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-type: text/event-stream\r\n\r\n"


class Socket(asyncio.Transport):
    """Keeps what is written and what is asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.reading = True
        self.ended = ""

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return bool(self.ended)

    def close(self) -> None:
        self.ended = self.ended or "closed"

    def abort(self) -> None:
        self.ended = self.ended or "aborted"


class Peer:
    """A connection with its socket, and what became of it."""

    def __init__(self) -> None:
        self.released = 0
        self.lost = 0
        self.socket = Socket()
        self.connection = Connection(self._release, self._lose)
        self.connection.connection_made(self.socket)
        self.exchange = self.connection.request(b"HEAD", b"BODY")
        self.body = b""

    def _release(self, _: Connection) -> None:
        self.released += 1

    def _lose(self, _: Connection) -> None:
        self.lost += 1

    def take(self, chunk: bytes) -> bool:
        self.body += chunk
        return chunk.endswith(b"!")

    def give(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.connection.data_received(piece)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def test_a_request_goes_out_in_one_piece() -> None:
    """One write, one packet: the API sees the whole request at once."""
    assert b"HEADBODY" == Peer().socket.written


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
async def test_where_the_bytes_are_cut_is_invisible(size: int) -> None:
    """I8: status, headers and body are the same however they arrive."""
    peer = Peer()
    answer = HEAD + chunk("grün".encode()) + chunk(b"er!") + b"0\r\n\r\n"
    reading = asyncio.ensure_future(peer.exchange.each(lambda piece: bool(peer.take(piece) and False)))
    await asyncio.sleep(0)

    peer.give(*[answer[start : start + size] for start in range(0, len(answer), size)])

    assert not await reading
    assert (200, "text/event-stream") == (peer.exchange.status, peer.exchange.headers["content-type"])
    assert "grüner!" == peer.body.decode()
    assert (1, "") == (peer.released, peer.socket.ended)


async def test_all_that_arrived_together_is_given_together() -> None:
    """A burst is one call, so that a busy moment costs less per event and not more."""
    peer = Peer()
    pieces: list[bytes] = []
    reading = asyncio.ensure_future(peer.exchange.each(lambda piece: bool(pieces.append(piece))))  # type: ignore[func-returns-value]
    await asyncio.sleep(0)

    peer.give(HEAD + chunk(b"a") + chunk(b"b"), chunk(b"c") + b"0\r\n\r\n")
    await reading

    assert [b"ab", b"c"] == pieces


async def test_a_taker_that_has_enough_ends_the_reading() -> None:
    """The terminal event ends an answer, not the end of its body."""
    peer = Peer()
    peer.give(HEAD, chunk(b"early "), chunk(b"birds"))
    reading = asyncio.ensure_future(peer.exchange.each(peer.take))
    await asyncio.sleep(0)

    peer.give(chunk(b" sing!"))

    assert await reading
    assert b"early birds sing!" == peer.body
    assert not peer.exchange.ended
    peer.give(b"0\r\n\r\n")
    assert (True, 1) == (peer.exchange.ended, peer.released)


async def test_what_is_there_already_can_be_enough() -> None:
    """An answer that came with its headers is taken at once."""
    peer = Peer()
    peer.give(HEAD + chunk(b"all!"))

    assert await peer.exchange.each(peer.take)


async def test_a_body_that_has_ended_or_broken_says_so_to_who_comes_late() -> None:
    """Whoever asks after the end gets the end, not a wait."""
    whole, broken = Peer(), Peer()
    whole.give(HEAD + chunk(b"x") + b"0\r\n\r\n")
    broken.give(HEAD + chunk(b"x"))
    broken.connection.connection_lost(None)

    assert not await whole.exchange.each(whole.take)
    with pytest.raises(UpstreamBroken) as caught:
        await broken.exchange.each(broken.take)
    assert "upstream_truncated" == caught.value.code
    assert b"x" == broken.body


async def test_what_a_taker_raises_reaches_its_caller() -> None:
    """A malformed event ends the attempt that reads it."""
    peer = Peer()

    def refuse(piece: bytes) -> bool:
        raise UpstreamBroken("no")

    reading = asyncio.ensure_future(peer.exchange.each(refuse))
    await asyncio.sleep(0)
    peer.give(HEAD + chunk(b"x"), chunk(b"y"))

    with pytest.raises(UpstreamBroken, match="no"):
        await reading


async def test_a_body_nobody_takes_pauses_the_socket() -> None:
    """I10: what is kept before somebody takes it is bounded."""
    peer = Peer()
    peer.give(HEAD, chunk(b"x" * (MAX_EARLY_BYTES + 1)))
    paused = not peer.socket.reading

    reading = asyncio.ensure_future(peer.exchange.each(peer.take))
    await asyncio.sleep(0)

    assert paused
    assert peer.socket.reading
    reading.cancel()


async def test_interim_responses_are_passed_over() -> None:
    """RFC 9110, 15.2: a 100 or 103 comes before the response and is none."""
    peer = Peer()
    peer.give(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n")
    waiting = not peer.exchange.answered.done()

    peer.give(HEAD + b"0\r\n\r\n")
    await peer.exchange.answered

    assert waiting
    assert (200, False) == (peer.exchange.status, "link" in peer.exchange.headers)


async def test_repeated_headers_are_joined() -> None:
    """RFC 9110, 5.3: a list may come in several fields."""
    peer = Peer()
    peer.give(b"HTTP/1.1 200 OK\r\nVary: a\r\nvary: b\r\ncontent-length: 0\r\n\r\n")

    assert "a, b" == peer.exchange.headers["vary"]


async def test_compressed_pieces_are_inflated_as_they_come() -> None:
    """A proxy that compresses unasked holds nothing back."""
    peer = Peer()
    packed = gzip.compress(b"hello!")
    reading = asyncio.ensure_future(peer.exchange.each(peer.take))
    await asyncio.sleep(0)
    peer.give(HEAD.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n"))
    peer.give(*[chunk(packed[place : place + 3]) for place in range(0, len(packed), 3)])

    assert await reading
    assert b"hello!" == peer.body


async def test_a_piece_that_inflates_without_end_is_refused() -> None:
    """I10: a thousandfold bomb is not unpacked."""
    peer = Peer()
    peer.give(HEAD.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n"))
    peer.give(chunk(gzip.compress(b"\0" * (MAX_INFLATED_BYTES + 1))))

    with pytest.raises(UpstreamBroken):
        await peer.exchange.each(peer.take)
    assert "aborted" == peer.socket.ended


@pytest.mark.parametrize(
    "answer",
    [b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\nx: " + b"y" * MAX_HEADER_BYTES + b"\r\n\r\n"],
    ids=["another protocol", "endless headers"],
)
async def test_what_is_no_response_is_refused(answer: bytes) -> None:
    """I10: other protocols and headers past the limit end the exchange, and the connection with it."""
    peer = Peer()
    peer.give(answer)

    with pytest.raises(UpstreamBroken):
        await peer.exchange.answered
    assert "aborted" == peer.socket.ended


async def test_a_connection_that_was_asked_nothing_and_speaks_is_closed() -> None:
    """What comes unasked would be taken for the next answer."""
    peer = Peer()
    peer.give(HEAD + b"0\r\n\r\n")
    peer.give(b"HTTP/1.1 200 OK\r\n\r\n")

    assert "aborted" == peer.socket.ended
    assert not peer.connection.usable


async def test_a_connection_that_will_not_be_kept_is_closed() -> None:
    """RFC 9112, 9.6: after `connection: close` nothing more is asked."""
    peer = Peer()
    peer.give(HEAD.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n") + b"0\r\n\r\n")

    assert (0, "closed") == (peer.released, peer.socket.ended)


async def test_a_body_without_a_length_ends_with_its_connection() -> None:
    """RFC 9112, 6.3: whether the answer was whole is for its events to say (I3)."""
    peer = Peer()
    peer.give(b"HTTP/1.1 200 OK\r\n\r\nabc")
    reading = asyncio.ensure_future(peer.exchange.each(peer.take))
    await asyncio.sleep(0)
    peer.connection.eof_received()
    peer.connection.connection_lost(None)

    assert not await reading
    assert (b"abc", True, 0, 1) == (peer.body, peer.exchange.ended, peer.released, peer.lost)


@pytest.mark.parametrize("begun", [False, True])
async def test_a_reset_is_told_as_one(begun: bool) -> None:
    """The reader of the log learns that the connection broke, and not that the answer was short."""
    peer = Peer()
    if begun:
        peer.give(HEAD + chunk(b"x"))
    peer.connection.connection_lost(ConnectionResetError())

    with pytest.raises(UpstreamGone) as caught:
        await (peer.exchange.each(peer.take) if begun else peer.exchange.answered)
    assert ("upstream_reset", begun) == (caught.value.code, peer.exchange.touched)


async def test_closing_is_at_once_and_as_often_as_you_like() -> None:
    """I14: a stop does not wait for what is under way."""
    peer = Peer()
    reading = asyncio.ensure_future(peer.exchange.each(peer.take))
    await asyncio.sleep(0)
    peer.connection.close()
    peer.connection.close()

    with pytest.raises(UpstreamGone):
        await reading
    assert "aborted" == peer.socket.ended
    with pytest.raises(UpstreamGone):
        await peer.exchange.answered


def test_a_head_holds_what_is_asked_and_refuses_what_would_break_it() -> None:
    """No header can add another (CWE-93)."""
    assert b"GET /x HTTP/1.1\r\nhost: h\r\na: b\r\n\r\n" == head_of("GET", "/x", "h", {"a": "b"}, 0)
    assert b"\r\ncontent-length: 3\r\n" in head_of("POST", "/x", "h", {}, 3)
    with pytest.raises(ValueError, match="line end"):
        head_of("GET", "/x", "h", {"a": "b\r\nc: d"}, 0)


async def test_a_socket_that_is_closing_is_neither_paused_nor_resumed() -> None:
    """Between a close and the word of it a socket takes no orders: uvloop raises where one is given."""
    peer = Peer()
    peer.socket.close()
    peer.socket.reading = False
    peer.connection.resume()
    still = peer.socket.reading
    peer.socket.reading = True
    peer.connection.pause()

    assert (False, True) == (still, peer.socket.reading)
