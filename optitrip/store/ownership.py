"""Tells whether other users could have planted stored state, or could change it now.

A state directory names the module that commands import, and commands write to it. So it is trusted only if

- it, all that is in it, and the folder that holds it belong to the user or to root. Files on a network drive or a
  mounted volume may have another owner: one that our own new files get there is us; and root, as in a container, trusts
  the owner of the volume, and the user who called `sudo`.
- these are not writable by everyone, nor by a group that others belong to. The private group of a user (umask 002) has
  no other member, nor has the group of a volume in a container.
- no folder above is writable by everyone, unless it is sticky, like /tmp. Owners and groups of the folders above do not
  count: what they put in place of ours would not belong to us.

In a job of Ray, its working directory and the folders above may be open to all. Ray makes its session folder so (0777,
without the sticky bit), and unpacks there the code that this very process runs: whoever can put another folder in place
of ours could as well put other code into the job, so a refusal would protect nobody. It holds only for what lies in the
job's own working directory; what was made below it must be ours alone, as everywhere. Any other process, e.g. a later
`optitrip replay` of a state directory there, runs no code from that folder and refuses it.

File systems without permissions, where a private file is shown as everyone's, are not judged by their modes.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile

from optitrip.runtime import posix
from optitrip.runtime.ray_job import folders_of_job


def distrust(folder: Path) -> str | None:
    """Say why a state directory, which need not exist, is not to be trusted; None if it is, and on Windows."""
    if not posix.OWNERS:
        return None
    folder = folder.absolute()
    real = Path(os.path.realpath(folder))  # Path.resolve raises for a link that leads to itself
    of_job = folders_of_job(real)
    entries = [folder] if os.path.lexists(folder) else []
    with suppress(OSError):  # it is no folder, or may not be read
        entries += [folder / name for name in os.listdir(folder)]
    for path in entries:
        if reason := fault(path, sticky=False):
            return reason
    above = next(path for path in folder.parents if path.exists())
    if above == folder.parent and above not in of_job and (reason := fault(above, sticky=True)):
        return reason
    for path in dict.fromkeys([*folder.parents, *real.parents]):
        if path not in of_job and path.exists() and open_to_all(path.stat()) and has_permissions(path):
            return f"{path} can be written by everyone"
    return None


def fault(path: Path, *, sticky: bool) -> str | None:
    """Say what is wrong with the owner or the mode of a path; in a `sticky` folder others' files cannot be replaced."""
    for info in both(path) if path.is_dir() else [path.lstat()]:  # links to files are not followed
        if info.st_uid not in owners(path) and info.st_uid != new_file(path).st_uid:
            return f"{path} belongs to {name_of(info.st_uid)}"
        if stat.S_ISLNK(info.st_mode) or (sticky and info.st_mode & stat.S_ISVTX):
            continue
        everyone, group = info.st_mode & stat.S_IWOTH, info.st_mode & stat.S_IWGRP
        if (everyone or (group and shared(info))) and has_permissions(path):
            return f"{path} can be written by {'everyone' if everyone else 'others in its group'}"
    return None


def both(path: Path) -> Iterator[os.stat_result]:
    """Yield the status of a path, and if it is a link, that of its target."""
    yield (info := path.lstat())
    if stat.S_ISLNK(info.st_mode):
        with suppress(OSError):
            yield path.stat()


def owners(path: Path) -> set[int]:
    user = posix.user()
    if user:
        return {user, 0}
    volume = next(above for above in (path, *path.parents) if os.path.ismount(above))
    return {0, volume.stat().st_uid, int(os.environ.get("SUDO_UID", 0))}


def open_to_all(info: os.stat_result) -> bool:
    return bool(info.st_mode & stat.S_IWOTH) and not info.st_mode & stat.S_ISVTX


def shared(info: os.stat_result) -> bool:
    """Return whether someone else may be in the group of a file; system accounts may be in root's."""
    if info.st_gid == 0:
        return False
    account = posix.account(info.st_uid)  # a user whom the system does not know has a group of the same number
    if info.st_gid not in {info.st_uid if account is None else account.pw_gid, *posix.own_groups()}:
        return True
    known = {0, posix.user(), info.st_uid}
    if any(user.pw_gid == info.st_gid and user.pw_uid not in known for user in posix.accounts()):
        return True
    names = {user.pw_name for user in posix.accounts() if user.pw_uid in known}
    return not names.issuperset(posix.members(info.st_gid))


def new_file(path: Path) -> os.stat_result:
    """Return the status of a new private file in a folder, or beside a file; that of the path if none can be made."""
    try:
        with TemporaryFile(dir=path if path.is_dir() else path.parent) as file:
            return os.fstat(file.fileno())
    except OSError:
        return os.stat_result((0o600, 0, 0, 0, posix.user(), posix.main_group(), 0, 0, 0, 0))


def has_permissions(path: Path) -> bool:
    return not new_file(path).st_mode & (stat.S_IRWXG | stat.S_IRWXO)


def name_of(user: int) -> str:
    account = posix.account(user)
    return f"user {user}" if account is None else f"the user {account.pw_name}"
