"""A background call hands over its result, or its exception, where it is asked for."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from command import optitrip
from optitrip.cli import main
from optitrip.cli.statuses import RESUMABLE
from optitrip.runtime import background
from optitrip.runtime.background import BackgroundCall


def test_a_result_is_waited_for() -> None:
    """The call runs while the caller continues; its result can be asked for more than once."""
    go = threading.Event()
    call = BackgroundCall(lambda: go.wait(60) and "done")
    go.set()
    assert (call.result(), call.result()) == ("done", "done")


@pytest.mark.parametrize("error", [ValueError("wrong"), SystemExit(3), KeyboardInterrupt()])
def test_what_is_raised_surfaces_where_the_result_is_asked_for(error: BaseException) -> None:
    """It is the very exception, each time, and nobody waits for ever."""

    def fails() -> None:
        raise error

    call = BackgroundCall(fails, threading.Event())
    for _ in range(2):
        with pytest.raises(type(error)) as raised:
            call.result()
        assert raised.value is error


def test_a_thread_stays_until_it_is_over() -> None:
    """The thread of a call stays until its event is set, for results that must not outlive their thread."""
    over = threading.Event()
    thread = BackgroundCall(threading.current_thread, over).result()
    thread.join(0.05)
    assert thread.is_alive()
    over.set()
    thread.join(60)
    assert not thread.is_alive()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_process_that_is_forced_to_exit_ends_nothing_of_its_parent(tmp_path: Path) -> None:
    """It ended the Ray of its parent, which died with it."""
    background.at_forced_exit((tmp_path / "ended").touch)
    try:
        if (pid := os.fork()) == 0:
            background.force_exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        assert not (tmp_path / "ended").exists()
    finally:
        background.FORCED.pop()


def test_a_command_in_the_process_of_the_tests_ends_nothing_of_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ended the Ray of the tests, and that their process, a minute later, in the middle of other tests."""

    def stop() -> None:
        raise SystemExit(RESUMABLE)

    monkeypatch.setattr(background, "FORCED", [(tmp_path / "ended").touch])
    monkeypatch.setattr(main, "app", stop)
    assert optitrip(tmp_path).returncode == RESUMABLE
    assert not (tmp_path / "ended").exists()
