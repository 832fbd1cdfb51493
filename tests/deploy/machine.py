"""A bare Debian tree, and commands in it: with this machine's network to install from, then in a network of its own.

It is a root folder (`debootstrap`, `chroot`), with processes, mounts and a network of its own (`unshare`), so that all
that runs in it ends with it. There is no systemd in it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from billing_site.local.engines.process import wait_until
from tests.journeys.server import CHECKOUT

LACKING = (
    "it makes a bare Debian tree: root is needed"
    if os.geteuid()
    else "".join(
        f"{program} is not installed (Debian's package {package})"
        for program, package in (("debootstrap", "debootstrap"), ("unshare", "util-linux"), ("ip", "iproute2"))
        if shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None
    )
)
"""Why there can be no such tree here; "" where there can."""
TREE = os.environ.get("DEBIAN_TREE")
"""A tree that debootstrap has made before, to copy instead of making one."""
INSIDE = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
MOUNTS = "mount -t proc proc {root}/proc; mount -t tmpfs tmpfs {root}/dev/shm;"
OF_THIS_MACHINE = {
    "etc/pip.conf": "etc/pip.conf",
    "etc/resolv.conf": "etc/resolv.conf",
    "etc/ssl/certs/ca-certificates.crt": "etc/ssl/of-the-host.pem",
}
"""How it reaches its registries, and where that stands in the tree: no part of the steps."""


class Machine:
    """One tree."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._inside = 0

    @classmethod
    def bare(cls, root: Path, suite: str = "bookworm") -> Machine:
        """As debootstrap makes it, which this machine's ways to its registries are added to."""
        if TREE:
            subprocess.run(["cp", "--archive", "--reflink=auto", TREE, root], check=True)
        else:
            subprocess.run(["debootstrap", "--variant=minbase", suite, root], check=True, capture_output=True)
        (root / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")  # packages start nothing
        (root / "usr/sbin/policy-rc.d").chmod(0o755)
        for name, inside in OF_THIS_MACHINE.items():
            if (source := Path("/", name)).exists():
                (root / inside).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, root / inside)
        return cls(root)

    def copy_checkout(self, to: str, *, names: tuple[str, ...] = ()) -> None:
        """The files that git knows, or those of them under these names."""
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *names],
            cwd=CHECKOUT,
            capture_output=True,
            check=True,
        ).stdout
        for name in filter(None, listed.decode().split("\0")):
            target = self.root / to.lstrip("/") / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(CHECKOUT / name, target)

    def run(self, script: str, *, user: str = "", given: str = "", **variables: str) -> str:
        """What a script says on stdout, with this machine's network. Raises AssertionError where it fails."""
        argv = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec"]
        return _done(
            [*argv, f'{MOUNTS.format(root=self.root)} exec "$@"', "-", *self._chroot(user)], script, given, variables
        )

    @contextmanager
    def on(self) -> Iterator[None]:
        """Its own network is up, with nobody else in it; `inside` runs there. All of it ends at the end."""
        script = f"{MOUNTS.format(root=self.root)} ip link set lo up; exec sleep infinity"
        argv = ["unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "sh", "-ec", script]
        holder = subprocess.Popen(argv)
        children = Path(f"/proc/{holder.pid}/task/{holder.pid}/children")
        try:
            wait_until(lambda: bool(children.read_text().split()), 10, "unshare starts nothing")
            self._inside = int(children.read_text())
            wait_until(lambda: "sleep" in Path(f"/proc/{self._inside}/cmdline").read_text(), 10, "no network")
            yield
        finally:
            holder.kill()
            holder.wait()
            self._inside = 0

    def inside(self, script: str, *, user: str = "", given: str = "", **variables: str) -> str:
        """As `run`, in its own network, beside what is running there."""
        assert self._inside, "the machine is not on"
        enter = ["nsenter", "--target", str(self._inside), "--mount", "--pid", "--net"]
        return _done([*enter, *self._chroot(user)], script, given, variables)

    def _chroot(self, user: str) -> list[str]:
        return ["chroot", *([f"--userspec={user}"] if user else []), str(self.root), "bash", "-euo", "pipefail", "-c"]


def _done(argv: list[str], script: str, given: str, variables: dict[str, str]) -> str:
    env = INSIDE | {"PIP_CERT": "/etc/ssl/of-the-host.pem"} | variables
    began = time.monotonic()
    done = subprocess.run([*argv, script], check=False, env=env, input=given, capture_output=True, text=True)
    print(f"{time.monotonic() - began:6.1f} s  {script.strip().splitlines()[0][:90]}", flush=True)
    assert done.returncode == 0, f"{script}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout
