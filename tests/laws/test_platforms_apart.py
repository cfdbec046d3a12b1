"""What only Linux and macOS have is used in one small file, with what stands in for it elsewhere."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import optitrip

PACKAGE = Path(optitrip.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
ALLOWED = {"runtime/posix.py", "runtime/nanny.py"}
"""The file that brings it in, and a program of its own, which imports nothing of optitrip's."""
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
    "time": """
        CLOCK_MONOTONIC CLOCK_PROCESS_CPUTIME_ID CLOCK_REALTIME clock_getres clock_gettime clock_settime tzset
    """,
    "asyncio": "open_unix_connection start_unix_server",
    "multiprocessing": "get_context set_start_method",
}
"""Modules that Windows lacks, or that cannot wait for pipes there, and what other modules lack. `multiprocessing` has no
`fork` there, and nothing of ours starts processes by it."""
DANGEROUS = {"os": {"kill"}}
"""What there is on Windows, but means another thing: `os.kill` with the signal 0 presses Ctrl-C."""


def absent(module: str) -> set[str]:
    """The names of a module that are not to be used."""
    return set(ABSENT.get(module, "").split()) | DANGEROUS.get(module, set())


def faults(tree: ast.AST) -> Iterator[str]:
    """What a file uses that Windows lacks; attributes are of modules imported by their own names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from {alias.name.split(".")[0] for alias in node.names} & absent(MODULE)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from {node.module} & absent(MODULE)
            yield from (f"{node.module}.{name}" for name in {alias.name for alias in node.names} & absent(node.module))
        elif (
            isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.attr in absent(node.value.id)
        ):
            yield f"{node.value.id}.{node.attr}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_what_windows_lacks_is_used_in_one_file(path: Path) -> None:
    """A command on Windows meets no missing module, function or signal."""
    if path.relative_to(PACKAGE).as_posix() not in ALLOWED:
        assert sorted(faults(ast.parse(path.read_text("utf-8")))) == []


@pytest.mark.parametrize(
    "code",
    ["import fcntl", "from pwd import getpwuid", "os.killpg(1, 9)", "def f():\n    return signal.SIGKILL",
     "from os import fork as f", "from signal import SIGHUP", "os.kill(1, 0)", "socket.socket(socket.AF_UNIX)"],
)  # fmt: skip
def test_each_use_is_found(code: str) -> None:
    """The law above would not hold by mistake."""
    assert len(list(faults(ast.parse(code)))) == 1


def without_encoding(tree: ast.AST) -> Iterator[str]:
    """Calls that read or write text in the encoding of the locale."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or "encoding" in {word.arg for word in node.keywords}:
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        binary = any(isinstance(mode, ast.Constant) and "b" in str(mode.value) for mode in node.args)
        positional = {"read_text": 1, "write_text": 2}.get(name)
        if positional is not None and len(node.args) < positional:
            yield ast.unparse(node)
        if isinstance(node.func, ast.Name) and name == "open" and not binary:
            yield ast.unparse(node)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_text_has_an_encoding(path: Path) -> None:
    """Python takes that of the locale otherwise, which is rarely UTF-8 on Windows."""
    assert list(without_encoding(ast.parse(path.read_text("utf-8")))) == []
