"""By https: to the judged address, under the name's own certificate, and to no other."""

from __future__ import annotations

import datetime
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests.adapters
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from billing.webhooks.http_post import post
from tests.billing.webhooks.test_addresses import resolving
from tests.servers.webhooks.receiver import Receiver, answering

NAME = "rebinding.test"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Signed by itself, for NAME; with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    path.write_bytes(private + made.public_bytes(pem))
    return path


@pytest.fixture
def https_receiver(receiver: Receiver, certificate: Path) -> Iterator[Receiver]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    # The handshake is made in the connection's own thread, so that one that never ends stops nobody.
    receiver.socket = context.wrap_socket(receiver.socket, server_side=True, do_handshake_on_connect=False)
    yield receiver


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests.adapters, "DEFAULT_CA_BUNDLE_PATH", str(certificate))


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return resolving(monkeypatch, "127.0.0.1")


@pytest.mark.usefixtures("trusted")
def test_it_arrives_under_the_names_certificate(https_receiver: Receiver, resolved: list[str]) -> None:
    https_receiver.behave = answering(200, b"thanks")
    answer = post(f"https://{NAME}:{https_receiver.server_port}/hook", b"{}", {"webhook-id": "msg_1"})
    assert (answer.status, answer.text, answer.error) == (200, "thanks", "")
    (got,) = https_receiver.got
    assert got.headers["host"] == f"{NAME}:{https_receiver.server_port}" and got.id == "msg_1"
    assert resolved == [NAME], "looked up once"


@pytest.mark.usefixtures("trusted")
def test_another_names_certificate_is_refused(https_receiver: Receiver) -> None:
    assert post(f"https://localhost:{https_receiver.server_port}/hook", b"{}", {}).error == "tls"
    assert not https_receiver.got


@pytest.mark.usefixtures("resolved")
def test_a_certificate_that_nobody_vouches_for_is_refused(https_receiver: Receiver) -> None:
    assert post(f"https://{NAME}:{https_receiver.server_port}/hook", b"{}", {}).error == "tls"
    assert not https_receiver.got


@pytest.mark.usefixtures("trusted", "resolved")
def test_a_drip_within_tls_is_cut_off_in_time(https_receiver: Receiver) -> None:
    def drip(handler: Any) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n")
        while True:  # until the other side has left
            handler.wfile.write(b"x")
            time.sleep(0.02)

    https_receiver.behave = drip
    answer = post(f"https://{NAME}:{https_receiver.server_port}/hook", b"{}", {}, seconds=1.0)
    assert (answer.status, answer.error) == (None, "timeout")
    assert answer.seconds < 10
