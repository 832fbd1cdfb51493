"""Real proxies, started with the configurations of docs/integrations."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import requests
from django.conf import settings

from billing_site.local.engines.process import last_line, wait_until
from billing_site.local.supervisor import Command
from tests.journeys.server import CHECKOUT, Server
from tests.ports import free_port

DOCS: Final = CHECKOUT / "docs" / "integrations"
WHERE: Final = os.pathsep.join(
    [os.environ.get("PATH", ""), "/usr/sbin", str(settings.PLACES.local / "proxies" / "bin")],
)
NGINX_FOLDERS: Final = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


class Behind(NamedTuple):
    """What stands behind a proxy: ports of the site and of the product, and the operator's key."""

    site: int
    product: int
    key: str


class Proxy(NamedTuple):
    """A kind of proxy: its configuration, what is replaced in it, how it is started, and how one gets it."""

    name: str
    configuration: str
    listens: str
    argv: Callable[[Path, Path, int], list[str]]
    from_where: str
    gives_back: bool
    """Whether it gives back what was charged for a call that did not reach the product."""
    tells_limits: bool
    """Whether the client of a call that was served sees its RateLimit headers."""
    undecided: int = 503
    """What its clients are answered while the site is down."""

    @property
    def program(self) -> str | None:
        return shutil.which(self.name, path=WHERE)


def _nginx(folder: Path, written: Path, port: int) -> list[str]:
    paths = "".join(f"{name}_temp_path {folder}/{name};\n" for name in NGINX_FOLDERS)
    head = "user root;\n" if os.geteuid() == 0 else ""
    head += f"daemon off;\npid {folder}/pid;\nevents {{ worker_connections 1024; }}\n"
    (folder / "main.conf").write_text(f"{head}http {{\naccess_log off;\n{paths}include {written};\n}}\n")
    return ["-p", str(folder), "-c", str(folder / "main.conf"), "-e", "stderr"]


def _caddy(folder: Path, written: Path, port: int) -> list[str]:
    written.write_text("{\n\tadmin off\n\tauto_https off\n}\n" + written.read_text())
    return ["run", "--config", str(written), "--adapter", "caddyfile"]


def _traefik(folder: Path, written: Path, port: int) -> list[str]:
    return [
        f"--entryPoints.web.address=127.0.0.1:{port}",
        f"--providers.file.filename={written}",
        "--global.checkNewVersion=false",
        "--global.sendAnonymousUsage=false",
    ]


def _envoy(folder: Path, written: Path, port: int) -> list[str]:
    return ["--config-path", str(written), "--disable-hot-restart", "--concurrency", "1", "--log-level", "warn"]


PROXIES: Final[Mapping[str, Proxy]] = {
    proxy.name: proxy
    for proxy in (
        Proxy("nginx", "nginx.conf", "listen 80;", _nginx, "Debian's package nginx", True, True),
        Proxy("caddy", "Caddyfile", ":80 {", _caddy, "Debian's package caddy", True, True),
        Proxy("traefik", "traefik-dynamic.yaml", "", _traefik, "`make proxies`", False, False, undecided=500),
        Proxy("envoy", "envoy.yaml", "address: 0.0.0.0, port_value: 80}", _envoy, "`make proxies`", False, True),
    )
}


@contextmanager
def running(proxy: Proxy, folder: Path, behind: Behind) -> Iterator[Server]:
    """The proxy as its clients see it."""
    port, program = free_port(), proxy.program
    assert program is not None
    text = (DOCS / proxy.configuration).read_text()
    ours = {
        "listen 80;": f"listen 127.0.0.1:{port};",
        ":80 {": f":{port} {{\n\tbind 127.0.0.1",
        "address: 0.0.0.0, port_value: 80}": f"address: 127.0.0.1, port_value: {port}}}",
    }
    if proxy.listens:
        assert text.count(proxy.listens) == 1
        text = text.replace(proxy.listens, ours[proxy.listens])
    for here, there in (("8000", behind.site), ("9000", behind.product)):
        for form in ("127.0.0.1:{}", "127.0.0.1, port_value: {}"):
            text = text.replace(form.format(here), form.format(there))
    assert str(behind.site) in text and str(behind.product) in text
    written = folder / proxy.configuration
    written.write_text(text.replace("Bearer OPERATOR_KEY", f"Bearer {behind.key}").replace("/run/caddy", str(folder)))
    log, home = folder / "log", {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    argv = [program, *proxy.argv(folder, written, port)]
    command = Command(proxy.name, argv, log=log, env=os.environ | home, cwd=folder)
    command.start()
    front = Server(port)

    def listens() -> bool:
        assert command.process is not None and command.process.poll() is None, last_line(log)
        try:
            return bool(requests.get(front.url, timeout=10).status_code != 404)  # Traefik's, while it has no routes yet
        except requests.RequestException:
            return False

    try:
        wait_until(listens, 30, f"{proxy.name} does not come up")
        yield front
    finally:
        command.stop()


def exchange(front: Server, sent: bytes) -> bytes:
    """What comes until the proxy closes."""
    parts: list[bytes] = []
    with front.connect(20) as one:
        try:
            one.sendall(sent)
            parts.extend(iter(lambda: one.recv(65536), b""))
        except ConnectionError:
            pass  # closed with what it would not read
    return b"".join(parts)
