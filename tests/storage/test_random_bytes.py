"""Random bytes that are drawn in advance."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

from storage import random_bytes


def test_no_bytes_are_handed_out_twice() -> None:
    with ThreadPoolExecutor(4) as threads:
        taken = list(threads.map(lambda _: random_bytes.take(16), range(5000)))
    assert {len(each) for each in taken} == {16}
    assert len(set(taken)) == len(taken)


def test_a_forked_process_does_not_repeat_the_bytes_of_its_parent() -> None:
    random_bytes.take(16)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, random_bytes.take(64))
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reading, 64)
    os.close(reading)
    os.close(writing)
    assert len(theirs) == 64
    assert theirs != random_bytes.take(64)
