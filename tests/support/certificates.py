"""Certificates for tests, made by openssl."""

import shutil
import subprocess
from pathlib import Path


def make_certificate(directory: Path) -> tuple[str, str]:
    """Write a certificate for 127.0.0.1 that vouches for itself, and its key; return the paths of both files."""
    assert shutil.which("openssl"), "these tests make a certificate with openssl: install it"
    files = (str(directory / "certificate.pem"), str(directory / "key.pem"))
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-out", files[0], "-keyout", files[1]]
    subprocess.run([*command.split(), *names], check=True, capture_output=True)
    return files
