"""Signals that ask a training to stop: after the first the state is saved, a second Ctrl-C stops it at once."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stopped(Exception):  # noqa: N818
    """A training was asked to stop, at a place where nothing is half done."""


@contextmanager
def noted(*, show: bool, insist: bool) -> Iterator[list[int]]:
    """SIGINT and SIGTERM within it, in the order in which they come, instead of their usual effect.

    With ``show`` the first is answered on the terminal at once. With ``insist`` a second SIGINT interrupts whatever is
    under way; under torchrun, which passes a Ctrl-C on to processes that got it already, it must not. Outside the main
    thread, where Python has no signals, none are noted.
    """
    caught: list[int] = []
    owner = os.getpid()

    def note(number: int, _: FrameType | None) -> None:
        if os.getpid() != owner:  # a forked loader worker, which its owner ends
            return
        caught.append(number)
        if len(caught) == 1 and show:
            again = "; Ctrl-C again stops at once, without saving" if insist else ""
            # Not print: the signal may have come in the middle of one
            os.write(2, f"\n{signal.Signals(number).name}: finishing this step, then saving{again}\n".encode())
        elif len(caught) > 1 and insist and number == signal.SIGINT:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield caught
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
