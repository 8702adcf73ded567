"""Worker processes that do not outlive whoever began them."""

from __future__ import annotations

import multiprocessing
import os
import threading

__all__ = ["follow_parent"]


def follow_parent() -> None:
    """End this worker as soon as the process that began it is gone, even by ``kill -9``.

    An orphan would wait for work for ever, hold its memory, and go on writing where the next
    process wants to. Meant as the initializer of a pool; does nothing in a process of its own.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
