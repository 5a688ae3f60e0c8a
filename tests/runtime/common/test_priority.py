"""Threads beside the picture give way; the picture's own do not."""

import os
import sys
import threading

import pytest

from artmirror.runtime.common.priority import give_way


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads share one priority")
def test_one_thread_and_those_that_it_starts_give_way() -> None:
    found = []

    def look() -> None:
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    def work() -> None:
        give_way()
        look()
        child = threading.Thread(target=look)
        child.start()
        child.join()

    before = os.getpriority(os.PRIO_PROCESS, 0)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    look()
    assert found[2] == before
    assert found[0] == found[1] == max(10, before)
