"""A descent one step at a time: it runs in a thread of its own, and waits after each step until the next is wanted."""

import threading
from collections.abc import Callable, Generator, Sequence
from queue import SimpleQueue

from optitrip.core.method import Method
from optitrip.core.observer import Observer, Written
from optitrip.methods.descent.answer import DescentAnswer, DescentSoFar
from optitrip.methods.descent.step import Step

Steps = Generator[DescentSoFar, None, DescentAnswer]
"""Yields a point with its loss for each step; returns the answer."""


class Closed(BaseException):
    """The end of a descent of which no more steps are wanted; no `Exception`, so that nothing on its way takes it for a
    failure."""


class StepByStep(Observer):
    """Hands each step to another thread, and waits until the next is wanted."""

    def __init__(self) -> None:
        self._step: Step | None = None
        self._found: SimpleQueue[DescentSoFar | None] = SimpleQueue()
        self._wanted, self._closed = threading.Semaphore(0), False
        self._answer: DescentAnswer | None = None
        self._error: BaseException | None = None

    def stage(self, method: Method) -> None:
        self._step = method if isinstance(method, Step) else None

    def parts(self, written: Sequence[Written], *, new: bool) -> None:
        del new
        if self._step is None:
            return
        for part, _ in written:
            loss = self._step.loss_in(part)
            if loss is None:
                continue
            self._found.put(DescentSoFar(self._step.center, loss, self._step.before))
            self._wanted.acquire()
            if self._closed:
                raise Closed

    def steps(self, run: Callable[[], DescentAnswer]) -> Steps:
        """Yield the steps of a descent, which `run` runs and observes with this object; return its answer."""
        thread = threading.Thread(target=self._run, args=(run,), name="descent", daemon=True)
        thread.start()
        try:
            while (found := self._found.get()) is not None:
                yield found
                self._wanted.release()
        finally:
            self._closed = True
            self._wanted.release()
            thread.join()
        if self._error is not None:
            raise self._error
        assert self._answer is not None
        return self._answer

    def _run(self, run: Callable[[], DescentAnswer]) -> None:
        try:
            self._answer = run()
        except BaseException as error:
            self._error = error
        finally:
            self._found.put(None)
