"""Threads that give way: what is done beside the picture takes the processor's time that the picture leaves."""

import os
import threading
from contextlib import suppress

_NICE = 10


def give_way() -> None:
    """Lower the priority of this thread, and of those that it starts; on Linux, elsewhere nothing.

    Threads of a process share one priority by POSIX; Linux gives each its own (sched(7)).
    """
    with suppress(OSError, AttributeError):
        if os.uname().sysname == "Linux":
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
