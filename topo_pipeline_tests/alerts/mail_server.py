"""A mail server over real SMTP on loopback, with TLS and STARTTLS by a certificate of its own."""

import base64
import datetime
import email
import ipaddress
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_HOST = "127.0.0.1"


@dataclass
class MailServer:
    """Records mails. Commands that begin with a key of `answers` get that answer instead of 250."""

    answers: dict[str, str] = field(default_factory=dict)
    greeting: str = "220 ready"
    features: tuple[str, ...] = ("AUTH PLAIN",)
    commands: list[str] = field(default_factory=list)
    mails: list[EmailMessage] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    tls: ssl.SSLContext | None = None
    at: str = ""

    @property
    def logins(self) -> list[list[str]]:
        """The user and the password of each login."""
        plain = [command.split()[2] for command in self.commands if command.startswith("AUTH PLAIN")]
        return [base64.b64decode(each).decode().split("\0")[1:] for each in plain]


class _Session(StreamRequestHandler):
    server: "_Listener"

    def handle(self) -> None:
        self._answer(self.server.mail.greeting)
        while command := self.rfile.readline().decode().strip():
            self.server.mail.commands.append(command)
            verb = command.split()[0].upper()
            answers = self.server.mail.answers
            own = next((answers[begin] for begin in answers if command.startswith(begin)), None)
            if own or verb not in {"EHLO", "STARTTLS", "AUTH", "DATA", "QUIT"}:
                self._answer(own or "250 ok")
            elif verb == "QUIT":
                self._answer("221 bye")
                return
            else:
                getattr(self, f"_{verb.lower()}")()

    def finish(self) -> None:
        super().finish()
        self.request.close()  # after STARTTLS, the server only knows the socket of before

    def _ehlo(self) -> None:
        *others, last = ("here", *self.server.mail.features)
        self._answer("".join(f"250-{each}\r\n" for each in others) + f"250 {last}")

    def _starttls(self) -> None:
        assert self.server.mail.tls
        self._answer("220 go ahead")
        self.request = self.server.mail.tls.wrap_socket(self.request, server_side=True)
        self.setup()

    def _auth(self) -> None:
        self._answer("235 welcome")

    def _data(self) -> None:
        self._answer("354 send it")
        text = b""
        while (line := self.rfile.readline()) != b".\r\n":
            text += line.removeprefix(b".") if line.startswith(b"..") else line
        self.server.mail.mails.append(email.message_from_bytes(text, policy=default))
        self.server.mail.encrypted.append(isinstance(self.request, ssl.SSLSocket))
        self._answer(self.server.mail.answers.get("end of DATA", "250 accepted"))

    def _answer(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


class _Listener(ThreadingTCPServer):
    daemon_threads = True
    mail: MailServer

    def handle_error(self, *_: object) -> None:
        """Ignore clients that refuse the certificate or disconnect."""


@contextmanager
def mail_server(tls: ssl.SSLContext | None = None, *, is_smtps: bool = False) -> Iterator[MailServer]:
    """Serve on a free port. `tls` is offered by STARTTLS, or used from the start if `is_smtps`."""
    with _Listener((_HOST, 0), _Session) as listener:
        listener.mail = MailServer(tls=tls, at=f"{_HOST}:{listener.server_address[1]}")
        if tls and is_smtps:
            listener.socket = tls.wrap_socket(listener.socket, server_side=True)
        elif tls:
            listener.mail.features += ("STARTTLS",)
        Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield listener.mail
        listener.shutdown()


def certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Create a certificate for the server. Return the server's context, and the file that clients must trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a mail server")])
    made = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(_HOST))])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(made).not_valid_after(made.replace(year=2120))
    signed = builder.add_extension(alternative, critical=False).sign(key, hashes.SHA256())
    file, secret = folder / "mail.pem", folder / "mail.key"
    file.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    how = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    secret.write_bytes(key.private_bytes(*how))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, secret)
    return context, file
