"""Tests of the proxy itself: each of its switches works, also for connections that are already open."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.faults import proxy
from tests.patience import until


def _echo(listening: socket.socket) -> None:
    """Answer each connection with its own bytes, until the socket is closed."""
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        threading.Thread(target=_answer, args=(connection,), daemon=True).start()


def _answer(connection: socket.socket) -> None:
    with connection:
        try:
            while said := connection.recv(65536):
                connection.sendall(said)
        except OSError:
            return


@pytest.fixture
def between() -> Iterator[proxy.Proxy]:
    """Run a proxy in front of an echo server."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_echo, args=(listening,), daemon=True).start()
        with proxy.running(listening.getsockname()) as made:
            yield made
        listening.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def line(between: proxy.Proxy) -> Iterator[socket.socket]:
    """Open a connection through the proxy and use it once."""
    with socket.create_connection(("127.0.0.1", between.port), timeout=60) as opened:
        assert _asked(opened, b"hello") == b"hello"
        yield opened


def _asked(line: socket.socket, words: bytes) -> bytes:
    line.sendall(words)
    received = b""
    while len(received) < len(words) and (piece := line.recv(65536)):
        received += piece
    return received


def _visit(between: proxy.Proxy) -> None:
    with socket.create_connection(("127.0.0.1", between.port), timeout=60) as late:
        late.recv(1)


def _until_reset(line: socket.socket) -> bytes:
    """Return the bytes that are received before the connection breaks."""
    received = b""
    try:
        while piece := line.recv(65536):
            received += piece
    except ConnectionResetError:
        return received
    raise AssertionError("the connection was not reset")


def test_on_a_good_day_it_hands_on_everything(line: socket.socket) -> None:
    words = bytes(range(256)) * 4000
    threading.Thread(target=line.sendall, args=(words,), daemon=True).start()
    received = b""
    while len(received) < len(words):
        received += line.recv(65536)
    assert received == words


def test_a_client_that_has_stopped_sending_still_receives(line: socket.socket) -> None:
    line.sendall(b"the last word")
    line.shutdown(socket.SHUT_WR)
    received = b""
    while piece := line.recv(65536):
        received += piece
    assert received == b"the last word"


def test_what_it_delays_comes_later(between: proxy.Proxy, line: socket.socket) -> None:
    between.delay = 0.1
    began = time.monotonic()
    assert _asked(line, b"slowly") == b"slowly"
    assert time.monotonic() - began >= 0.2


def test_what_it_throttles_takes_its_time(between: proxy.Proxy, line: socket.socket) -> None:
    between.rate = 10_000
    began = time.monotonic()
    assert _asked(line, b"x" * 1000) == b"x" * 1000
    assert time.monotonic() - began >= 0.2


def test_a_hole_holds_everything_and_lets_go_of_it_again(between: proxy.Proxy, line: socket.socket) -> None:
    between.blackhole = True
    line.sendall(b"lost?")
    line.settimeout(0.2)
    with pytest.raises(TimeoutError):
        line.recv(1)
    between.blackhole = False
    line.settimeout(60)
    assert line.recv(5) == b"lost?"


def test_a_new_connection_to_a_hole_is_not_refused(between: proxy.Proxy) -> None:
    between.blackhole = True
    with socket.create_connection(("127.0.0.1", between.port), timeout=60) as opened:
        opened.sendall(b"anybody?")
        until(lambda: between.accepted)
        between.clear_faults()
        assert opened.recv(8) == b"anybody?"


def test_a_cut_ends_what_is_open_in_good_order(between: proxy.Proxy, line: socket.socket) -> None:
    between.cut()
    assert line.recv(1) == b""
    until(lambda: between.open == 0)


def test_a_reset_ends_it_as_a_crash_would(between: proxy.Proxy, line: socket.socket) -> None:
    between.reset()
    with pytest.raises(ConnectionResetError):
        line.recv(1)


def test_a_new_connection_while_it_refuses_is_reset_and_open_ones_stay(
    between: proxy.Proxy, line: socket.socket
) -> None:
    between.refusing = True
    with pytest.raises(ConnectionResetError):
        _visit(between)
    assert _asked(line, b"still here") == b"still here"


def test_half_an_answer_is_all_that_comes(between: proxy.Proxy, line: socket.socket) -> None:
    between.half = len(b"hello") + 4
    line.sendall(b"one two three")
    assert _until_reset(line) == b"one "


@pytest.mark.parametrize("after", [False, True])
def test_a_trap_is_sprung_by_the_last_of_its_words_only(
    between: proxy.Proxy, line: socket.socket, after: bool
) -> None:
    trap = between.trap([b"INSERT", b"COMMIT"], after=after)
    assert _asked(line, b"COMMIT") == b"COMMIT"
    assert _asked(line, b"INSERT 1") == b"INSERT 1"
    line.sendall(b"COM")
    assert line.recv(3) == b"COM"
    assert not trap.sprung.is_set()
    line.sendall(b"MIT")
    assert trap.sprung.wait(60)
    assert _until_reset(line) == b""
    with socket.create_connection(("127.0.0.1", between.port), timeout=60) as again:
        assert _asked(again, b"INSERT COMMIT") == b"INSERT COMMIT"
