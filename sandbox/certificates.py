"""Certificates for the names that clients believe to talk to, signed by an authority made for this sandbox alone."""

import datetime
import ipaddress
import ssl
from pathlib import Path

NAMES = ("localhost", "*.amocrm.ru", "*.amocrm.com", "*.kommo.com")
DAYS = datetime.timedelta(days=365)


def context(folder: Path) -> ssl.SSLContext:
    """A server's context from `folder`, where `ca.pem` is what a client must trust; made when it is not there. Raises
    SystemExit without the package `cryptography`, which nothing else in the sandbox needs."""
    names = [folder / name for name in ("ca.pem", "server.pem", "server.key")]
    if not all(path.exists() for path in names):
        make(folder)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(folder / "server.pem", folder / "server.key")
    return made


def make(folder: Path) -> None:
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError as error:
        raise SystemExit("sandbox: --tls needs the package cryptography: pip install cryptography") from error

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

    now = datetime.datetime.now(datetime.UTC)
    authority_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    authority = (
        x509.CertificateBuilder()
        .subject_name(name("Dealpost sandbox"))
        .issuer_name(name("Dealpost sandbox"))
        .public_key(authority_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    known: list[x509.GeneralName] = [x509.DNSName(one) for one in NAMES]
    known.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    server = (
        x509.CertificateBuilder()
        .subject_name(name("localhost"))
        .issuer_name(authority.subject)
        .public_key(server_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(known), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    pem = serialization.Encoding.PEM
    (folder / "server.key").touch(mode=0o600)
    (folder / "server.key").write_bytes(
        server_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    (folder / "server.pem").write_bytes(server.public_bytes(pem))
    (folder / "ca.pem").write_bytes(authority.public_bytes(pem))
