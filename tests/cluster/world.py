"""Namespaces for a whole cluster, from which nothing is left behind, however the command ends.

The command runs itself again as process 1 of new network, mount and process namespaces. The kernel ends that process
when the command dies, and with it every process, interface and mount inside. What the hosts write is on a tmpfs that
only they see. Two things are outside of it, so a cleaner removes them: a folder for downloads, and memory cgroups.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

TOOLS = ("ip", "unshare", "nsenter", "setpriv", "mount", "hostname")
INSIDE = "OPTITRIP_CLUSTER_WORLD"
"""Name of the environment variable, set inside the namespaces, with the folder for downloads."""
UNSHARE = ["unshare", "--net", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--mount-proc"]
PROBE = """
mount -t tmpfs tmpfs /srv && ip link set lo up && ip link add br0 type bridge &&
ip link add outer type veth peer name inner && mount -t proc proc /proc
"""
SRV = Path("/srv")
SHARED, HOSTS, ETC, DOWNLOADS = SRV / "shared", SRV / "hosts", SRV / "etc", SRV / "downloads"
"""Folder that all hosts share, as if by NFS; parent of the folders of single hosts; files for their /etc; what was
downloaded outside, where there is a network."""
GATEWAY = "10.77.0.254"
"""Address of the command itself on the hosts' network."""
CGROUP_ROOTS = (Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup"))


def missing() -> str:
    """Return why there can be no namespaces here; "" if there can."""
    if sys.platform != "linux":
        return "needs Linux"
    if os.geteuid():
        return "needs root, for network namespaces"
    if absent := [tool for tool in TOOLS if not shutil.which(tool)]:
        return f"needs {', '.join(absent)}"
    if any(
        Path(place).resolve().is_relative_to(hidden) for place in (sys.prefix, __file__) for hidden in ("/tmp", SRV)
    ):
        return "hosts have a /tmp and a /srv of their own, so neither Python nor this file may be there"
    probe = subprocess.run([*UNSHARE, "sh", "-c", PROBE], capture_output=True, text=True)
    return f"namespaces are not allowed: {probe.stderr.strip()}" if probe.returncode else ""


def run_inside(
    module: str, arguments: Sequence[str], preparations: Iterable[Callable[[Path], None]] = ()
) -> tuple[int, list[str]]:
    """Run a module in new namespaces, after preparations here, where there is a network.

    Returns:
        its exit status, and what it left on this machine.
    """
    before = network()
    with tempfile.TemporaryDirectory(prefix="optitrip-cluster-") as folder:
        watch_for_our_end(folder)
        for prepare in preparations:
            prepare(Path(folder))
        command = [*UNSHARE, sys.executable, "-m", module, *arguments]
        child = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command], env={**os.environ, INSIDE: folder})
        while child.poll() is None:
            with suppress(KeyboardInterrupt):  # the module gets Ctrl-C as well, and ends
                child.wait()
        subprocess.run(["sh", "-c", removal(folder)])
    return child.returncode, sorted(traces(folder) | (network() - before))


def watch_for_our_end(folder: str) -> None:
    """Start a cleaner, which acts when its input ends: when this process has ended, even by SIGKILL."""
    reading, _writing = os.pipe()  # the writing end stays open as long as this process lives
    command = ["sh", "-c", f"cat; {removal(folder)}"]
    subprocess.Popen(command, stdin=reading, stdout=subprocess.DEVNULL, start_new_session=True)
    os.close(reading)


def removal(folder: str) -> str:
    """Return a script that removes the folder and cgroups of a run as soon as their last processes have ended."""
    groups = " ".join(f"{root}/{cgroup_name(folder)}" for root in CGROUP_ROOTS)
    return f"""
        for try in 1 2 3 4 5 6 7 8 9 10; do
            for group in {groups}; do [ ! -d $group ] || find $group -depth -type d -exec rmdir {{}} + ; done
            rm -rf {folder}
            ls -d {folder} {groups} >/dev/null && sleep 0.5 || break
        done 2>/dev/null
    """


def cgroup_name(folder: str | None = None) -> str:
    """Return the name of the cgroup of all hosts of this command."""
    return Path(folder or os.environ[INSIDE]).name


def set_up() -> None:
    """Make the folders and the network; called once, inside."""
    assert os.getpid() == 1, "only for process 1 of its own namespaces"
    sh("mount -t tmpfs -o size=50%,mode=755 tmpfs /srv")
    for folder in (SHARED, HOSTS, ETC, DOWNLOADS):
        folder.mkdir()
    sh(f"mount --bind {os.environ[INSIDE]} {DOWNLOADS}")  # hosts have another /tmp
    (ETC / "resolv.conf").touch()  # no name is looked up in vain
    sh("ip link set lo up && ip link add br0 type bridge && ip link set br0 up")
    sh(f"ip addr add {GATEWAY}/24 dev br0")


def sh(script: str) -> str:
    """Run a line of shell in the namespaces, and return what it printed."""
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{script}: {done.stderr.strip()}")
    return done.stdout


def traces(folder: str) -> set[str]:
    """Return what is on this machine because of a run, whose folder this is: processes, cgroups, and the folder."""
    groups = [root / cgroup_name(folder) for root in CGROUP_ROOTS]
    found = {f"folder {path}" for path in (Path(folder), *groups) if path.exists()}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"{INSIDE}={folder}".encode() in (process / "environ").read_bytes().split(b"\0"):
                found.add(f"process {process.name}")
    return found


def network() -> set[str]:
    """Return the interfaces and mounts of this machine."""
    interfaces = {f"interface {path.name}" for path in Path("/sys/class/net").iterdir()}
    return interfaces | {f"mount {line}" for line in Path("/proc/mounts").read_text().splitlines()}
