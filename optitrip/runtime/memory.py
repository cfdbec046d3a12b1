"""How much memory a process has taken."""

from __future__ import annotations

import sys


def peak_bytes() -> int | None:
    """The highest resident memory of this process so far, in bytes; None where it cannot be known (Windows).

    Pages that several processes share, as those of Ray's object store, count in full for each that touched them: the
    peaks of workers cannot be added. On Linux a process begins with the peak of the one that started it.
    """
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
