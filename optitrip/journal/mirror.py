"""Copies a journal elsewhere while a sweep runs, so that the sweep outlives the disk of its driver."""

import errno
import shutil
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from dataclasses import asdict, replace
from pathlib import Path

from optitrip.core.notice import Notice, info, warning
from optitrip.errors import StateError
from optitrip.journal.copies import DESCRIPTION, FILES, FORMAT, SLOTS, Copy, described, snapshot
from optitrip.journal.facts import Epoch, JournalName
from optitrip.journal.journal import peek
from optitrip.runtime.background import BackgroundCall
from optitrip.runtime.clock import SYSTEM, Clock
from optitrip.runtime.files import digest_of, is_regular, json_bytes, write_atomically
from optitrip.runtime.remote import Remote

PAUSE, LAST_WAIT = 60.0, 300.0
"""Seconds between the beginnings of two copies, and for which a sweep waits at its end for the last one."""
SHARE = 10
"""Least ratio of the pause between copies to the time that one takes, so that a large journal is copied less often."""
SPARE = 2**26
"""Bytes that a disk must have left beside the journal and its copy: a full one would stop the sweep."""


class NotOurs(Exception):
    """A copy that this command must not replace; the message, which follows the remote's name, says why."""


class Mirror:
    """Copies a journal from time to time; whatever fails is told, and the sweep goes on.

    `tick` and `finish` are called by the sweep's own thread; copies are made in another one.
    """

    def __init__(
        self,
        remote: Remote,
        place: str,
        label: str,
        journal: Path,
        sweep: str,
        notify: Callable[[Notice], None],
        *,
        replaces: str | None = None,
        fresh: bool = False,
        hide: Callable[[str], str] = str,
        clock: Clock = SYSTEM,
        pause: float = PAUSE,
    ) -> None:
        """Prepare to copy a journal; `tick` begins the first copy.

        Args:
            remote: where to.
            place: its name in messages, without a password.
            label: the folder there.
            journal: the journal's path; result files are beside it.
            sweep: the identity of the sweep.
            notify: receives notices, in the thread of the sweep.
            replaces: the writer of the copy from which the journal was restored.
            fresh: whether the copy of another journal may be replaced.
            hide: removes secrets from the text of an error.
            clock: for the pauses, and for the time of a copy.
            pause: seconds between the beginnings of two copies.
        """
        self._remote, self.place, self._label, self._journal, self._sweep = remote, place, label, journal, sweep
        self._notify, self._hide, self._clock, self._pause = notify, hide, clock, pause
        self._fresh, self._writer = fresh, uuid.uuid4().hex
        self._replaceable = {self._writer, replaces}
        self._files: Sequence[str] = ()
        self._due, self._began = clock.monotonic(), 0.0
        self._call: BackgroundCall[Copy] | None = None
        self._last: Copy | None = None
        self._failed = self._ended = self._gone = False

    def tick(self, *, now: bool = False) -> None:
        """Take note of a copy that has ended, and begin one if it is time, or `now`."""
        if self._call is not None and self._call.done():
            self._take(self._call)
        if self._call is None and not self._ended and (now or self._clock.monotonic() >= self._due):
            self._began = self._clock.monotonic()
            self._due = self._began + self._pause
            self._call = BackgroundCall(self._copy)

    def finish(self, files: Sequence[str], patience: float = LAST_WAIT) -> None:
        """Make the last copy, with these result files; warn if it fails or takes longer than `patience` seconds."""
        until = self._clock.monotonic() + patience
        self._wait(until)  # for a copy under way, which lacks the end
        if self._call is None:
            self._files = [name for name in files if is_regular(self._journal.with_name(name))]
            self.tick(now=True)
            self._wait(until)
        if (self._call is not None or self._failed) and not self._ended:
            age = (self._clock.wall_ms() - self._last.made) / 1000 if self._last else 0.0
            found = f"the last copy there is {age:.0f} s old" if self._last else "this command has made no copy there"
            text = f"the end of this sweep was not copied to {self.place}: {found}"
            text += f". The same command copies it, as long as {self._journal.parent} exists"
            self._notify(warning("mirror-failed", text))

    def _wait(self, until: float) -> None:
        if self._call is not None:
            wait([self._call], max(0.0, until - self._clock.monotonic()))
            if self._call.done():
                self._take(self._call)

    def _take(self, call: BackgroundCall[Copy]) -> None:
        """Note how a copy ended; tell of the first failure in a row, and of the first success after it."""
        error, self._call = call.exception(), None
        self._due = max(self._due, self._began + SHARE * (self._clock.monotonic() - self._began))
        if error is None:
            if self._failed:
                self._notify(info("mirror", f"the journal is copied to {self.place} again"))
            if self._gone:
                text = f"the earlier copy in {self.place} was gone, as of a disk that is not mounted any more"
                self._notify(warning("mirror-failed", f"{text}; a new one was made there"))
            self._last, self._failed, self._gone = call.result(), False, False
        elif isinstance(error, NotOurs):
            self._ended = True
            self._notify(warning("mirror-failed", f"{self.place} {error}"))
        elif not self._failed:
            self._failed = True
            reason = self._hide(str(error) or type(error).__name__)
            text = f"the journal could not be copied to {self.place}: {reason:.500}; the sweep goes on, and"
            self._notify(warning("mirror-failed", f"{text} optitrip tries again every {self._pause:.0f} s"))

    def _copy(self) -> Copy:
        """Copy the journal, then the result files, unless the copy there has them."""
        folder, files = self._journal.parent, self._files
        scratch = folder / f"{self._journal.name}.copy"
        try:
            before = described(self._remote, self._label, scratch)
            room = shutil.disk_usage(folder).free - 2 * self._journal.stat().st_size
            if room < SPARE:
                raise OSError(errno.ENOSPC, f"{folder} has too little room for a copy beside the journal")
            snapshot(self._journal, self._sweep, scratch)
            copy = self._described(scratch, before)
            if before is None or (before.writer, before.digest) != (copy.writer, copy.digest):
                self._remote.put(f"{self._label}/{copy.file}", scratch)
                self._describe(copy, scratch)
            else:
                copy = replace(before, made=copy.made)
            if files:
                for name in files:
                    self._remote.put(f"{self._label}/{FILES}/{name}", folder / name)
                copy = replace(copy, files={name: digest_of(folder / name) for name in files})
                self._describe(copy, scratch)
            return copy
        finally:
            for left in (scratch, scratch.with_name(f"{scratch.name}-journal")):
                left.unlink(missing_ok=True)

    def _describe(self, copy: Copy, scratch: Path) -> None:
        write_atomically(scratch, json_bytes(asdict(copy)))
        self._remote.put(f"{self._label}/{DESCRIPTION}", scratch)

    def _described(self, snapshot: Path, before: Copy | None) -> Copy:
        """Return the description of a new copy; raise NotOurs if the one there must not be replaced."""
        name, epoch = peek(snapshot, self._sweep, JournalName), peek(snapshot, self._sweep, Epoch)
        if name is None or epoch is None:
            raise StateError(f"{self._journal}: the journal has no record of its name")
        if before is not None and before.writer not in self._replaceable:
            if self._last is not None:
                raise NotOurs("now has the copy of another command for this sweep; this one copies nothing more there")
            older = before.journal == name.name and before.epoch < epoch.number
            if not (older or self._fresh):
                text = "holds a copy of another journal of this sweep, or a later one; it is not replaced, and nothing "
                raise NotOurs(f"{text}is copied. --restore continues from it, --fresh replaces it")
            self._replaceable.add(before.writer)
        self._gone = before is None and self._last is not None
        slot = SLOTS[before is not None and before.file == SLOTS[0]]
        made, digest = self._clock.wall_ms(), digest_of(snapshot)
        return Copy(FORMAT, self._label, name.name, epoch.number, self._writer, made, slot, digest, {})
