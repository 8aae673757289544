"""An end for what waits on a server: an alarm that rings unless what is under way winds it up again in time.

Libraries' own time limits are those of one silence or one attempt: a server that trickles keeps them, for ever.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class _Rang(BaseException):
    """Passes what libraries do about exceptions: they would take it for a broken connection and try again."""


class Alarm:
    """Rings `seconds` after it was last wound up.

    Attributes:
        seconds: that it runs for.
        least: bytes that have to pass in that time.
    """

    def __init__(self, seconds: float, least: int) -> None:
        self.seconds, self.least, self._passed = seconds, least, 0

    def moved(self, count: int) -> None:
        """So many bytes have passed; the alarm is wound up whenever they are `least`."""
        self._passed += count
        if self._passed >= self.least:
            self.wind()

    def wind(self) -> None:
        """Begins to count the seconds anew."""
        self._passed = 0
        if _in_main_thread():
            signal.setitimer(signal.ITIMER_REAL, self.seconds)


@contextmanager
def ended_within(seconds: float, least: int = 1) -> Iterator[Alarm]:
    """A block that ends `seconds` after its alarm was last wound up; in the main thread, where Python handles signals.

    One such block may stand in another, whose time goes on.

    Args:
        seconds: until the alarm rings.
        least: bytes that have to pass in that time to wind it up again (`Alarm.moved`).

    Raises:
        TimeoutError: if the alarm rang.
    """
    alarm = Alarm(seconds, least)
    if not _in_main_thread():
        yield alarm
        return
    try:
        with _ringing(alarm):
            yield alarm
    except _Rang:
        raise TimeoutError(f"no whole answer within {seconds:g} s") from None


@contextmanager
def _ringing(alarm: Alarm) -> Iterator[None]:
    def ring(signal_number: int, frame: FrameType | None) -> None:
        raise _Rang

    begin, before = time.monotonic(), signal.signal(signal.SIGALRM, ring)
    left, _ = signal.setitimer(signal.ITIMER_REAL, alarm.seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if left:  # of the block around this one, which may be over its time
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - begin), 0.001))


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
