"""Stand-ins for Windows and macOS: the command `optitrip`, and what it starts, without what only Linux has.

They are what can be imitated on Linux. On that for Windows, modules, functions and signals are missing, pipes cannot be
waited for, files that are open can be neither deleted nor renamed, nor can their folders, and names of files cannot
have all characters. On that for macOS, there is no /proc, and less is missing. On both, text without an encoding is an
error, and `sys.platform` is unknown, so that nothing of Linux's is used; libraries go on as they do on Linux.

    STAND_IN=windows python -X warn_default_encoding system_stand_ins.py '[["sweep", "small.toml"], ["runs"]]'

runs commands one after the other, and prints the exit status of each on stderr. Python processes that a command starts
are on such a machine, too: `sys.executable` is a program that `launcher` writes.
"""

from __future__ import annotations

import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

MODULE = "a module"
ABSENT = {
    MODULE: "crypt curses fcntl grp nis posix pty pwd readline resource select selectors spwd syslog termios tty",
    "os": """
        O_ASYNC O_CLOEXEC O_DIRECT O_DIRECTORY O_NDELAY O_NOATIME O_NOCTTY O_NOFOLLOW O_NONBLOCK O_PATH O_SYNC
        O_TMPFILE WCONTINUED WCOREDUMP WEXITSTATUS WIFEXITED WIFSIGNALED WNOHANG WTERMSIG WUNTRACED chflags chown
        chroot confstr copy_file_range ctermid eventfd fchdir fchmod fchown fdatasync fork forkpty fpathconf fstatvfs
        getegid geteuid getgid getgrouplist getgroups getloadavg getpgid getpgrp getpriority getresgid getresuid
        getsid getuid getxattr initgroups killpg lchmod lchown lockf login_tty major makedev memfd_create minor mkfifo
        mknod nice openpty pathconf pidfd_open pipe2 posix_fadvise posix_fallocate posix_spawn posix_spawnp pread
        preadv pwrite pwritev readv register_at_fork removexattr sched_getaffinity sched_getscheduler
        sched_setaffinity sched_setscheduler sched_yield sendfile setegid seteuid setgid setgroups setns setpgid
        setpriority setregid setresgid setresuid setreuid setsid setuid setxattr splice statvfs sync sysconf tcgetpgrp
        tcsetpgrp ttyname uname unshare wait wait3 wait4 waitid writev
    """,
    "signal": """
        ITIMER_PROF ITIMER_REAL ITIMER_VIRTUAL SIGALRM SIGBUS SIGCHLD SIGCONT SIGHUP SIGIO SIGKILL SIGPIPE SIGPROF
        SIGQUIT SIGSTOP SIGSYS SIGTRAP SIGTSTP SIGTTIN SIGTTOU SIGUSR1 SIGUSR2 SIGWINCH SIG_BLOCK SIG_SETMASK
        SIG_UNBLOCK alarm getitimer pause pidfd_send_signal pthread_kill pthread_sigmask setitimer siginterrupt
        sigpending sigtimedwait sigwait sigwaitinfo
    """,
    "socket": "AF_UNIX AF_NETLINK CMSG_LEN SCM_RIGHTS recv_fds send_fds",
    "shutil": "chown",
    "time": "CLOCK_MONOTONIC CLOCK_PROCESS_CPUTIME_ID CLOCK_REALTIME clock_getres clock_gettime clock_settime tzset",
    "asyncio": "open_unix_connection start_unix_server",
}
"""Modules that Windows lacks, or that cannot wait for pipes there, and what other modules lack."""
OF_LIBRARIES = {
    *("select", "selectors", "posix", "O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_TMPFILE"),
    *("WNOHANG", "fchmod", "getuid", "pipe2", "sendfile", "statvfs", "uname"),
}
"""Absent on Windows, but Python's own modules and `filelock` need them on Linux."""
LINUX_ONLY = """
    O_DIRECT O_NOATIME O_PATH copy_file_range eventfd fdatasync getxattr memfd_create pidfd_open posix_fadvise
    posix_fallocate removexattr sched_getaffinity sched_setaffinity setns setxattr splice unshare
"""
"""Names that `os` lacks on macOS."""
RESERVED = set('<>:"|?*')
IN_USE = "The process cannot access the file because it is being used by another process"
KILL = os.kill


def absent(module: str) -> set[str]:
    """Return the names that a module lacks on Windows."""
    return set(ABSENT.get(module, "").split())


def become(interpreter: str = sys.executable) -> None:
    """Make this process one on such a machine, with the interpreter that it really has."""
    for name in ("filelock", "psutil"):  # they have code of their own for other systems; here they stay as on Linux
        import_module(name)
    sysconfig.get_config_vars()
    if os.environ["STAND_IN"] == "windows":
        become_windows()
    else:
        for name in set(LINUX_ONLY.split()) & set(vars(os)):
            delattr(os, name)
        sys.addaudithook(refuse_proc)
    warnings.filterwarnings("error", category=EncodingWarning, module=r"optitrip\.")
    sys.executable, sys.platform = launcher(interpreter), "unknown"


def become_windows() -> None:
    """Take away what Windows lacks, and have the rest do what it does there."""
    for module in (os, signal, socket):
        for name in (absent(module.__name__) - OF_LIBRARIES) & set(vars(module)):
            delattr(module, name)
    for name in absent(MODULE) - OF_LIBRARIES:
        sys.modules[name] = None  # pyright: ignore[reportArgumentType]
    os.kill, os.fsync, select.select = terminate, syncing(os.fsync), no_sockets
    for name in ("kill", "terminate"):
        setattr(subprocess.Popen, name, lambda process: process.poll() is None and KILL(process.pid, 9))
    sys.addaudithook(refuse)


def refuse_proc(event: str, details: tuple[Any, ...]) -> None:
    """Refuse what is in /proc, which macOS lacks."""
    if event in ("open", "os.listdir", "os.scandir") and str(details[0]).startswith("/proc"):
        raise PermissionError(13, "There is no such folder", details[0])


def terminate(process: int, number: int) -> None:
    """End a process, as Windows does whatever the signal, but for two."""
    assert number not in (0, 1), "all processes at this terminal would get Ctrl-C"
    KILL(process, 9)


def no_sockets(*_: Any) -> Any:
    """Refuse descriptors that are no sockets."""
    raise OSError(10038, "An operation was attempted on something that is not a socket")


def syncing(sync: Any) -> Any:
    """Return `os.fsync` for files that may be written; Windows refuses others."""

    def checked(descriptor: int) -> None:
        lines = Path(f"/proc/self/fdinfo/{descriptor}").read_text("utf-8").splitlines()
        (flags,) = (int(line.split()[1], 8) for line in lines if line.startswith("flags"))
        if not flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(9, "Bad file descriptor")
        sync(descriptor)

    return checked


def refuse(event: str, details: tuple[Any, ...]) -> None:
    """Refuse names that Windows does not know, and to delete or rename a file that is open."""
    if event not in ("open", "os.mkdir", "os.rename", "os.remove") or isinstance(details[0], int):
        return
    names = [os.fsdecode(path) for path in details[: 2 if event == "os.rename" else 1] if path is not None]
    for name in names:
        if RESERVED & set(name) and not name.startswith(("/proc/", "/sys/")):
            raise OSError(22, "The filename, directory name, or volume label syntax is incorrect", name)
        if event in ("os.rename", "os.remove") and is_open(name):
            raise PermissionError(13, IN_USE, name)


def is_open(name: str) -> bool:
    """Return whether this process has a file open, or one in a folder."""
    path = os.path.join(os.path.realpath(os.path.dirname(name)), os.path.basename(name))
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            held = os.readlink(f"/proc/self/fd/{descriptor}")
        except OSError:  # the list's own
            continue
        if held == path or held.startswith(f"{path}/"):
            return True
    return False


def launcher(interpreter: str = sys.executable) -> str:
    """Write a program that starts Python processes as on such a machine; return its name."""
    file, here = Path(tempfile.mkdtemp(prefix="stand-in-")) / "python", str(Path(__file__).parent)
    code = f"import sys; sys.path[0] = {here!r}; import system_stand_ins; system_stand_ins.play({interpreter!r})"
    file.write_text(f"#!{interpreter}\n{code}\n", "utf-8")
    file.chmod(0o700)
    return str(file)


def play(interpreter: str) -> None:
    """Be the interpreter that was called with options, and `-c CODE`, `-m MODULE` or a file, and their arguments."""
    del sys.path[0]
    words = sys.argv[1:]
    while words[0] in ("-S", "-E", "-P", "-I"):
        del words[0]
    become(interpreter)
    match words:
        case ["-c", code, *_]:
            sys.argv = ["-c", *words[2:]]
            exec(code, {"__name__": "__main__"})
        case ["-m", module, *_]:
            sys.argv = words[1:]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case _:  # `nanny.py`
            if os.environ["STAND_IN"] == "windows":
                del os.WNOHANG
            sys.argv = words
            runpy.run_path(words[0], run_name="__main__")


def run(commands: list[list[str]]) -> None:
    """Run commands one after the other."""
    become()
    from optitrip.cli.main import main

    stdout, like = os.dup(1), sys.stdout
    for words in commands:
        os.dup2(stdout, 1)  # a sweep leaves it to whatever the loss prints at the end of the process
        sys.stdout = open(1, "w", encoding=like.encoding, closefd=False)  # noqa: SIM115 - the command's
        sys.argv = ["optitrip", *words]
        status: Any = 0
        try:
            main()
        except SystemExit as end:
            status = end.code
        print(f"[{words[0]} {status or 0}]", file=sys.stderr, flush=True)


if __name__ == "__main__":
    run(json.loads(sys.argv[1]))
