"""No process is left behind by tests that were interrupted or killed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1] / "support"
TESTS = """
import subprocess, sys
sys.path.insert(0, sys.argv[1])
import process_guard
process_guard.watch()
for session in (False, True):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1e9)"], start_new_session=session)
    print(child.pid, flush=True)
child.wait()
"""


@pytest.mark.skipif(not Path("/proc").exists(), reason="there is no /proc")
@pytest.mark.parametrize("way", ["terminate", "kill"])
def test_what_tests_have_started_ends_with_them(way: str) -> None:
    """In their session and outside it, also where they had no time to end anything."""
    with subprocess.Popen([sys.executable, "-c", TESTS, HERE], stdout=subprocess.PIPE, text=True) as tests:
        assert tests.stdout is not None
        children = [Path("/proc", tests.stdout.readline().strip()) for _ in range(2)]
        assert all(child.exists() for child in children)
        getattr(tests, way)()
    end = time.monotonic() + 60
    while any(child.exists() for child in children) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(child.exists() for child in children)
