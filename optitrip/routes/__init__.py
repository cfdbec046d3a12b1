"""Routes: how the stages of a sweep follow each other.

A route is a generator that yields methods and is sent their results. It is pure: what it does depends on the sweep,
the offers and the results alone, so that resuming can replay it with the journal's results.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from optitrip.core.method import Method

Route = Generator[Method, Any, Any]
