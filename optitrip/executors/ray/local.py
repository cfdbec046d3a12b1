"""The processes of a Ray that was started here: watched while it starts and runs, and none is left behind."""

import atexit
import gc
import shutil
import sys
import time
from collections.abc import Callable, Generator
from concurrent.futures import wait
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from threading import Event
from typing import Any, Concatenate, ParamSpec, TypeVar

import ray  # isort: split

import psutil  # Ray brings it along, and makes it importable

from optitrip.errors import Stopped
from optitrip.executors.ray.raylet import raylet_first
from optitrip.executors.ray.variables import RayVariables
from optitrip.executors.ray.watchdog import Watchdog
from optitrip.runtime import nanny
from optitrip.runtime.background import LEFT, BackgroundCall, at_forced_exit
from optitrip.runtime.posix import in_forked_processes

P = ParamSpec("P")
T = TypeVar("T")
VITAL = ("gcs_server", "raylet")
"""Processes without which Ray is dead. A raylet ends when one of its agents does; Ray can do without its monitors."""
START_SECONDS = 120.0
"""Longest wait for Ray to start; it takes five seconds, or twenty on a busy machine."""
SHUTDOWN_SECONDS = 10.0
"""Longest wait for Ray's own shutdown; it takes a second, or seven without its head."""
POLL_SECONDS, KILL_SECONDS = 0.1, 3.0


class LocalRay:
    """The Ray that this process starts.

    Once a vital process has died, Ray may only be shut down. Any other call to it would block, or end this process
    without a message, as Ray does by itself fifteen to sixty seconds later.
    """

    def __init__(self) -> None:
        self._closed = Event()
        self._folder = str(Path(ray.__file__).parent)
        self._others = set(psutil.Process().children())
        self._variables = RayVariables()
        self._vital: dict[str, psutil.Process] = {}
        self._tree: set[psutil.Process] = set()
        """Processes of Ray that were started by this one, and those that they started."""
        self._session: Path | None = None
        """Folder of Ray's sockets and logs."""
        self._watchdog: Watchdog | None = None
        self._starting = False
        self._keep = False
        """True once a message has named that folder: its logs may say why Ray died."""

    def start(self, make: Callable[[], T]) -> T:
        """Start Ray by a call in a thread of its own; raise Stopped if Ray dies meanwhile or takes too long.

        In the main thread Ray would install a SIGTERM handler that exits with status 15. The thread lives until Ray is
        closed, because on Linux the kernel ends Ray's processes with the thread that started them.
        """
        self._watchdog, self._starting = Watchdog(self._folder), True
        call, since = BackgroundCall(raylet_first()(make), self._closed), time.monotonic()
        at_forced_exit(self.kill)
        try:
            while not wait([call], POLL_SECONDS).done:
                self._variables.put_back()
                self._look()
                self.check()
                if time.monotonic() - since > START_SECONDS:
                    raise Stopped(f"Ray did not start in {START_SECONDS:g} s; its processes were killed{self._logs()}")
            self._look()
            self._starting = False
            return call.result()
        except Stopped:
            atexit.unregister(ray.shutdown)  # it would wait for the call
            self._keep = True
            self.kill()
            raise

    def _look(self) -> None:
        """Find the processes of Ray among the children of this process."""
        for child in set(psutil.Process().children()) - self._others:
            with suppress(psutil.Error):  # of a child that has ended, there is only the name
                if (name := child.name()) in VITAL:
                    self._vital[name] = child
                words = child.cmdline()
                if not any(self._folder in word for word in words):
                    continue
                self._tree |= {child, *filter(not_a_nanny, child.children(recursive=True))}
                for word in words:
                    if self._session is None and word.startswith(("--session-dir=", "--session_dir=")):
                        self._session = Path(word.partition("=")[2])
                        if self._watchdog is not None:
                            self._watchdog.tell(self._session)

    @property
    def dead(self) -> list[str]:
        """Names of the vital processes that have ended."""
        return [name for name, process in self._vital.items() if not lives(process)]

    def check(self) -> None:
        """Raise Stopped if Ray is dead, and keep its logs, which may say why."""
        if dead := self.dead:
            self._keep = True
            raise Stopped(f"Ray has died: its {' and its '.join(dead)} ended{self._logs()}")

    def _logs(self) -> str:
        return f" (logs: {self._session / 'logs'})" if self._session else ""

    def close(self) -> None:
        """Shut Ray down, and kill what is left of it.

        The logs of a Ray that died are kept only if a message has named them; one that dies when all is evaluated is
        nobody's concern.
        """
        self._look()
        shut_down()
        self.kill()

    def forget(self) -> None:
        """Let go of a Ray that was shut down by the user, who may have started another one."""
        self._closed.set()

    def kill(self) -> None:
        """Kill the processes of Ray, and remove its folder unless it is to be kept."""
        if self._closed.is_set():
            return
        self._look()
        for process in self._tree:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(list(self._tree), KILL_SECONDS)
        if self._session is not None and not self._keep:
            shutil.rmtree(self._session, ignore_errors=True)
        if self._watchdog is not None and (self._keep or not self._starting):
            self._watchdog.end()  # one of a Ray that still starts ends what comes later, with this process
        self._closed.set()


def shut_down() -> None:
    """Shut Ray down, or leave it if that raises or takes too long: what was evaluated is stored by now."""
    with no_garbage_collected():
        shutdown = BackgroundCall(ray.shutdown)
        if not wait([shutdown], SHUTDOWN_SECONDS).done:
            leave()


def leave() -> None:
    """Leave Ray as it is, without its head: calls to it would wait for that, and then end this process."""
    atexit.unregister(ray.shutdown)
    LEFT.set()


@contextmanager
def no_garbage_collected() -> Generator[None]:
    """Collect garbage, and no more until the body is done: Ray ends this process without a message if, while it shuts
    down, another thread drops a reference to one of its objects, such as one in the traceback of a dead worker."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def leave_ray_to_the_parent() -> None:
    """Keep a forked process from hanging in Ray at its exit, and from ending the Ray of its parent."""
    atexit.unregister(ray.shutdown)
    with suppress(AttributeError, KeyError):  # none was started, or Ray has changed
        vars(sys.modules["ray._private.worker"])["_global_node"].all_processes.clear()


in_forked_processes(leave_ray_to_the_parent)


def stopped_if_dead(method: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Any, P], T]:
    """Make a method of an executor raise Stopped, instead of whatever Ray raises, once the local Ray has died."""

    @wraps(method)
    def guarded(workers: Any, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(workers, *args, **kwargs)
        except Exception:
            workers.check_local()
            raise

    return guarded


def not_a_nanny(process: psutil.Process) -> bool:
    """Return False for a process that ends by itself, after the programs that it watches."""
    with suppress(psutil.Error):
        return nanny.__file__ not in process.cmdline()
    return True


def lives(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
