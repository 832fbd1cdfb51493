"""nginx as docs/nginx.conf configures it, before a server of the tests."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from billing_site.local.engines.process import wait_until
from billing_site.local.supervisor import Command
from tests.journeys.server import CHECKOUT, Server
from tests.ports import free_port

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
needs_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not installed (Debian's package nginx)")
FOLDERS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@contextmanager
def nginx_before(behind: int) -> Iterator[Server]:
    """The server at this port as its clients see it."""
    front = Server(free_port())
    with TemporaryDirectory(prefix="nginx-") as folder:
        argv = _argv(Path(folder), front.port, behind)
        command = Command("nginx", argv, log=Path(folder) / "log", env=os.environ, cwd=CHECKOUT)
        command.start()
        try:
            wait_until(lambda: _listens(front), 30, "nginx does not come up")
            yield front
        finally:
            command.stop()


def _in_the_clear(port: int, behind: int) -> str:
    """On ports of ours, without TLS, which tests/deploy/test_empty_server.py has on."""
    given = (CHECKOUT / "docs" / "nginx.conf").read_text()
    ours = re.sub(r"server \{\n    listen 80;.*?\n\}\n", "", re.sub(r" *ssl_.*\n", "", given), flags=re.DOTALL)
    ours = ours.replace("127.0.0.1:8000", f"127.0.0.1:{behind}").replace("443 ssl;", f"127.0.0.1:{port};")
    assert ours.count(str(port)) == 1 and ours.count(str(behind)) == 1 and "443" not in ours
    return ours


def _argv(folder: Path, port: int, behind: int) -> list[str]:
    (folder / "site.conf").write_text(_in_the_clear(port, behind))
    paths = "".join(f"{name}_temp_path {folder}/{name};\n" for name in FOLDERS)
    head = "user root;\n" if os.geteuid() == 0 else ""
    head += f"daemon off;\npid {folder}/pid;\nevents {{ worker_connections 1024; }}\n"
    (folder / "nginx.conf").write_text(f"{head}http {{\naccess_log off;\n{paths}include {folder}/site.conf;\n}}\n")
    return [str(NGINX), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]


def _listens(front: Server) -> bool:
    try:
        front.connect(5).close()
    except OSError:
        return False
    return True
