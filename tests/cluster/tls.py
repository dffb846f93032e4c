"""A redis-server with TLS, whose certificate its own authority has made."""

from __future__ import annotations

import subprocess
from pathlib import Path

from .redis_servers import PATIENCE, RedisServer, find_port, find_program, skip


def make_certificate(folder: Path) -> Path:
    """Make the files of an authority and of a server that it vouches for; returns the folder.

    ``ca.pem`` is for clients; ``cert.pem`` and ``key.pem`` are the server's, which is 127.0.0.1.
    """
    # Python 3.13 wants what RFC 5280 demands of certificates.
    (folder / "names").write_text(
        "subjectAltName=IP:127.0.0.1\nauthorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n"
    )
    new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    _openssl(
        folder,
        *(*new, "-x509", "-days", "2", "-subj", "/CN=authority"),
        *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        *("-keyout", "ca-key.pem", "-out", "ca.pem"),
    )
    _openssl(folder, *new, "-subj", "/CN=redis", "-keyout", "key.pem", "-out", "request.pem")
    _openssl(
        folder,
        *("x509", "-req", "-days", "2", "-in", "request.pem", "-extfile", "names"),
        *("-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial", "-out", "cert.pem"),
    )
    return folder


def _openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


def _knows_tls() -> bool:
    # A server that knows TLS misses its certificate, and ends as well.
    command = [find_program(), "--port", "0", "--tls-port", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    return "tls-cert-file" in done.stdout + done.stderr


def start_tls_server(folder: Path, certificate: Path) -> RedisServer:
    """Return a server, whose URL is that of its port with TLS.

    :param certificate: a folder of :func:`make_certificate`.
    """
    if not _knows_tls():
        skip(f"{find_program()} was built without TLS")
    port = find_port()
    server = RedisServer(
        folder,
        *("--tls-port", str(port), "--tls-auth-clients", "no"),
        *("--tls-cert-file", str(certificate / "cert.pem")),
        *("--tls-key-file", str(certificate / "key.pem")),
        *("--tls-ca-cert-file", str(certificate / "ca.pem")),
    )
    server.url = f"rediss://127.0.0.1:{port}?ssl_ca_certs={certificate / 'ca.pem'}"
    return server
