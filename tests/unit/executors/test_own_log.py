"""Tests of keeping Ray's own log off standard error."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from optitrip.executors.ray.own_log import others, without_own_log

RAYS = b"[2026-01-02 03:04:05,678 W 146 150] some_client.cc:210: Failed: \xff\n"


def test_only_rays_lines_are_left_out() -> None:
    """Whole lines, lines in pieces, and lines after a live line; what merely looks like one stays."""
    told = [b"one\n" + RAYS[:9], RAYS[9:] + b"two\r3 of 9", RAYS, b"\r[note] x.cc:1: \n", RAYS[:20]]
    assert b"".join(others(told)) == b"one\ntwo\r3 of 9\r[note] x.cc:1: \n" + RAYS[:20]


def test_a_live_line_is_not_held_back() -> None:
    """What has no end of line yet is passed on at once."""
    passed = others(iter([b"\r1 of 9", b"\r2 of 9"]))
    assert next(passed) == b"\r1 of 9"


def test_descriptor_2_is_put_back(capfd: pytest.CaptureFixture[str]) -> None:
    """Other threads' and children's output arrives, also if the body raises, and the descriptor is the former one."""
    before, descriptors = os.fstat(2), Path("/proc/self/fd")
    count = len(list(descriptors.iterdir())) if descriptors.exists() else 0
    with suppress(ZeroDivisionError), without_own_log():
        os.write(2, RAYS.replace(b".cc", b".h"))
        subprocess.run([sys.executable, "-I", "-S", "-c", "import os; os.write(2, b'child\\n')"], check=True)
        raise ZeroDivisionError
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "child\nafter\n"
    assert os.path.samestat(os.fstat(2), before)
    assert not count or len(list(descriptors.iterdir())) == count


def test_a_child_that_goes_on_is_heard(capfd: pytest.CaptureFixture[str]) -> None:
    """A child that was started meanwhile still reaches standard error afterwards."""
    program = "import os, sys; sys.stdin.read(); os.write(2, b'late\\n')"
    with without_own_log():
        child = subprocess.Popen([sys.executable, "-I", "-S", "-c", program], stdin=subprocess.PIPE)
    assert child.stdin is not None
    child.stdin.close()
    assert child.wait(30) == 0
    heard = capfd.readouterr().err
    while "late" not in heard:  # its line is on its way
        heard += capfd.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="children cannot be started without descriptor 2")
def test_without_descriptor_2() -> None:
    """A process whose standard error is closed goes on."""
    program = """
import os
from optitrip.executors.ray.own_log import without_own_log
os.close(2)
with without_own_log():
    print("here")
"""
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True)
    assert done.stdout == b"here\n"
