"""Hosts as namespaces: each has its own network address, processes, /tmp, /dev/shm and /srv/own."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import site
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, ClassVar

from cluster.world import CGROUP_ROOTS, ETC, GATEWAY, HOSTS, UNSHARE, cgroup_name, sh

OWN = "/srv/own"
"""Folder that each host has to itself, and its home."""
INIT = """
set -e
hostname {name}
mount --bind {folder} /srv/own
mount --bind {folder}/tmp /tmp
mount -t tmpfs -o size={shm} tmpfs /dev/shm
mount --bind {etc}/hosts /etc/hosts
mount --bind {etc}/resolv.conf /etc/resolv.conf
echo ready
sleep infinity &
while true; do wait; done  # process 1 must collect the processes whose parents have died
"""


class Host:
    """A host that is up from when it is made until `destroy`, or until another one gets its name."""

    by_name: ClassVar[dict[str, Host]] = {}

    def __init__(self, name: str, address: str, *, shm: str = "1g", memory: int | None = None) -> None:
        self.name, self.address = name, address
        if name in self.by_name:
            self.by_name.pop(name).destroy()
        self.folder = HOSTS / name
        self.environment: dict[str, str] = {}
        """Variables of all its commands."""
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "tmp").mkdir(parents=True)
        (self.folder / "tmp").chmod(0o1777)
        (HOSTS.parent / "own").mkdir(exist_ok=True)
        add_to_hosts_file(name, address)
        self._cgroup = cgroup(name, memory) if memory else None
        script = INIT.format(name=name, folder=self.folder, shm=shm, etc=ETC)
        command = [*self._joining(), *UNSHARE, "bash", "-c", script]
        with (self.folder / "init.log").open("w") as log:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        if not self._process.stdout or self._process.stdout.readline() != "ready\n":
            raise RuntimeError(f"host {name}: {(self.folder / 'init.log').read_text()}")
        self.init = children(self._process.pid)[0]
        self.by_name[name] = self
        self._connect()
        if self._cgroup and CGROUP_ROOTS[0] in self._cgroup.parents:
            self.call(f"mount --bind {self._cgroup} {CGROUP_ROOTS[0]}")  # as containers see their own limit

    def _joining(self) -> list[str]:
        """Return the beginning of a command that joins the host's memory cgroup first."""
        script = f'echo $$ >{self._cgroup}/cgroup.procs; exec "$@"'
        return ["sh", "-c", script, "sh"] if self._cgroup else []

    def _connect(self) -> None:
        sh(f"ip link add {self.link} type veth peer name eth0 netns {self.init}")
        sh(f"ip link set {self.link} master br0 up")
        self.call(f"ip link set lo up && ip addr add {self.address}/24 dev eth0 && ip link set eth0 up")
        self.call(f"ip route add default via {GATEWAY}")

    @property
    def link(self) -> str:
        return f"v-{self.name}"

    def popen(
        self,
        *command: str,
        folder: str = OWN,
        variables: Mapping[str, str] | None = None,
        stdout: int | IO[str] | None = subprocess.PIPE,
        stderr: int | IO[str] | None = subprocess.PIPE,
    ) -> subprocess.Popen[str]:
        """Start a command on this host; it sees no variables but the host's own and these."""
        enter = ["nsenter", "--target", str(self.init), "--net", "--mount", "--pid", "--uts", "--ipc"]
        own = {"PATH": os.environ["PATH"], "HOME": OWN, "LANG": "C.UTF-8", "USER": "root"}
        values = {**own, **self.environment, **(variables or {})}
        set_values = ["env", "-i", "-C", folder, *(f"{name}={value}" for name, value in values.items())]
        return subprocess.Popen(
            [*self._joining(), *enter, *set_values, *command],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            text=True,
        )

    def call(self, script: str, **options: str) -> str:
        """Run a line of shell here to its end, and return what it printed."""
        process = self.popen("sh", "-c", script, folder=options.pop("folder", "/"), variables=options)
        out, err = process.communicate()
        if process.returncode:
            raise RuntimeError(f"{self.name}: {script}: {err.strip() or out.strip()}")
        return out

    def processes(self) -> dict[int, str]:
        """Return the command lines of the host's processes but those that keep it up."""
        own = os.readlink(f"/proc/{self.init}/ns/pid")
        found: dict[int, str] = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                if os.readlink(folder / "ns/pid") == own and command and int(folder.name) != self.init:
                    found[int(folder.name)] = command
        return {pid: command for pid, command in found.items() if command != "sleep infinity"}

    def kill(self, pattern: str, number: int = signal.SIGKILL) -> int:
        """Send a signal to the processes whose command lines match; return how many there were."""
        found = [pid for pid, command in self.processes().items() if re.search(pattern, command)]
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        return len(found)

    def files(self) -> set[str]:
        """Return the names in /tmp and /dev/shm that a command could have left."""
        root = Path(f"/proc/{self.init}/root")
        return {f"/{place}/{path.name}" for place in ("tmp", "dev/shm") for path in (root / place).iterdir()}

    def cut(self) -> None:
        """Cut the link: packets are lost, and no connection is closed."""
        sh(f"ip link set {self.link} down")

    def mend(self) -> None:
        sh(f"ip link set {self.link} up")

    def bytes_on_wire(self) -> int:
        """Return how many bytes have gone through the host's link, both ways."""
        counters = json.loads(sh(f"ip -s -j link show {self.link}"))[0]["stats64"]
        return int(counters["rx"]["bytes"] + counters["tx"]["bytes"])

    def own_packages(self) -> Path:
        """Give this host a copy of the installed packages that it may change; return the folder."""
        packages = site.getsitepackages()[0]
        layers = self.folder / "packages"
        for name in ("upper", "work"):
            (layers / name).mkdir(parents=True)
        options = f"lowerdir={packages},upperdir={layers}/upper,workdir={layers}/work"
        self.call(f"mount -t overlay overlay -o {options} {packages}")
        return Path(packages)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def destroy(self) -> None:
        """Take the power away: nobody is told, since the link is cut first."""
        with suppress(RuntimeError):
            self.cut()
        with suppress(ProcessLookupError):
            os.kill(self.init, signal.SIGKILL)
        self._process.wait()
        with suppress(RuntimeError):
            sh(f"ip link del {self.link} 2>/dev/null")
        for _ in range(50 if self._cgroup else 0):
            with suppress(OSError):
                assert self._cgroup
                self._cgroup.rmdir()
                break
            time.sleep(0.1)


def signal_command(process: subprocess.Popen[str], number: int) -> None:
    """Send a signal to a command that `popen` started; the process itself is that of `nsenter`."""
    for child in children(process.pid):
        os.kill(child, number)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def add_to_hosts_file(name: str, address: str) -> None:
    """Let all hosts know the name; the file is changed in place, since they have mounted it."""
    file = ETC / "hosts"
    lines = file.read_text().splitlines() if file.exists() else ["127.0.0.1 localhost"]
    others = [line for line in lines if line.split()[-1] != name]
    file.write_text("\n".join([*others, f"{address} {name}", ""]))


def cgroup(name: str, memory: int) -> Path:
    """Make a cgroup with a limit in bytes; raise OSError where that is not allowed."""
    root = next(root for root in CGROUP_ROOTS if root.is_dir())
    group = root / cgroup_name() / name
    group.mkdir(parents=True)
    if root == CGROUP_ROOTS[0]:
        (group / "memory.limit_in_bytes").write_text(str(memory))
    else:
        (group.parent / "cgroup.subtree_control").write_text("+memory")
        (group / "memory.max").write_text(str(memory))
    return group
