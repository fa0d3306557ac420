"""An upstream that answers every request with the same bytes, whatever they are."""

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

WAIT_S = 10.0
"""Seconds for anything to come over a socket."""


class ScriptedUpstream:
    """
    Answers each request with given bytes and closes the connection; a context manager.

    Args:
        reply: The whole response, status line included; set it anew at will.
    """

    def __init__(self, reply: bytes) -> None:
        self.reply = reply
        self.requests: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.base_url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, name="scripted upstream")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # On Linux only a shutdown wakes the thread that waits in accept().
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(WAIT_S)
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection, suppress(OSError):
                    connection.settimeout(WAIT_S)
                    self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            request += connection.recv(65536)
        head, _, body = request.partition(b"\r\n\r\n")
        length = next(
            (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0
        )
        while len(body) < length:
            body += connection.recv(65536)
        self.requests.append(head + b"\r\n\r\n" + body)
        connection.sendall(self.reply)


def response(status: str, body: bytes, content_type: str = "application/json", headers: str = "") -> bytes:
    """
    Put a response together.

    Args:
        status: Such as `400 Bad Request`.
        body: Sent with its length.
        content_type: Of the body.
        headers: Further ones, each with its line end.
    """
    head = f"HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body
