"""Send a message by SMTP, with the report attached. Its address holds a password, which must not appear in errors."""

import smtplib
import ssl
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid
from pathlib import Path
from urllib.parse import unquote, urlsplit

from topo_pipeline.alerts.delivery import MAX_ERROR, Undelivered
from topo_pipeline.common.deadline import DeadlineExceeded, call_within
from topo_pipeline.common.text import one_line
from topo_pipeline.days import Clock
from topo_pipeline.settings import LOOPBACK, Settings

TIMEOUT_SECONDS = 30
"""Limit for each network operation."""
DELIVERY_SECONDS = 120
"""Limit for a whole delivery: the report has some megabytes."""
_PORTS = {"smtp": 587, "smtps": 465}
_PERMANENT = 500  # from this code on, the same attempt would fail again


def mail_of(settings: Settings, clock: Clock) -> "Mail | None":
    """Return where to send the Monday message by mail, or None if no mail is configured."""
    if settings.smtp_url is None or settings.report_mail_from is None or settings.report_mail_to is None:
        return None
    recipients = tuple(settings.report_mail_to.split(", "))
    return Mail(settings.smtp_url.get_secret_value(), settings.report_mail_from, recipients, clock)


@dataclass(frozen=True)
class Mail:
    """A mail server and the people who get the report.

    Attributes:
        url: `smtps://user:password@host:465`, or `smtp://…` for STARTTLS. Only loopback is used without TLS.
        sender: The address it comes from.
        recipients: The addresses it goes to.
        clock: For the header Date.
    """

    url: str = field(repr=False)
    sender: str
    recipients: tuple[str, ...]
    clock: Clock

    @property
    def place(self) -> str:
        """Who gets it, and through which server."""
        return f"{', '.join(self.recipients)} (by mail from {self.sender} through {self._host})"

    @property
    def _host(self) -> str:
        return urlsplit(self.url).hostname or ""

    def send(self, text: str, report: Path | None = None) -> None:
        """Send the message, whose first line is the subject, with the report attached.

        Raises:
            Undelivered: The server can't be reached, or refuses the mail or some of its recipients.
        """
        mail = EmailMessage(policy=SMTP)
        mail["Subject"] = one_line(text.partition("\n")[0])
        mail["From"], mail["To"] = self.sender, ", ".join(self.recipients)
        mail["Date"] = format_datetime(self.clock())
        mail["Message-ID"] = make_msgid(domain=self.sender.partition("@")[2])
        mail["Auto-Submitted"] = "auto-generated"  # so that nobody's out-of-office notice answers
        mail.set_content(text)
        if report:
            mail.add_attachment(report.read_bytes(), maintype="text", subtype="html", filename=report.name)
        self._in_session(lambda server: _refused(server.send_message(mail)))

    def check(self) -> None:
        """Connect and log in, without sending anything.

        Raises:
            Undelivered: The server can't be reached, or does not accept the user.
        """
        self._in_session(lambda server: None)

    def _in_session(self, use: Callable[[smtplib.SMTP], Undelivered | None]) -> None:
        try:
            error = call_within(DELIVERY_SECONDS, lambda: self._error_of(use))
        except DeadlineExceeded:
            error = Undelivered(f"{self._host} did not complete the delivery within {DELIVERY_SECONDS} s")
        if error:
            raise error

    def _error_of(self, use: Callable[[smtplib.SMTP], Undelivered | None]) -> Undelivered | None:
        """Return the error, if any. It is not raised, so that nothing chains to smtplib's exception."""
        try:
            with closing(self._connected()) as server:
                error = use(server)
                with suppress(smtplib.SMTPException, OSError):  # the mail has been accepted or refused by then
                    server.quit()
                return error
        except smtplib.SMTPRecipientsRefused as error:
            return _refused(error.recipients, all_of_them=True)
        except (smtplib.SMTPException, OSError, UnicodeError) as error:
            why, may_retry = _reason(error)
            return Undelivered(f"{self._host} {why}", may_retry=may_retry)

    def _connected(self) -> smtplib.SMTP:
        """Return a session, encrypted unless the server is on loopback, and logged in if there is a user."""
        parts = urlsplit(self.url)
        port, context = parts.port or _PORTS[parts.scheme], ssl.create_default_context()
        server: smtplib.SMTP
        if parts.scheme == "smtps":
            server = smtplib.SMTP_SSL(self._host, port, timeout=TIMEOUT_SECONDS, context=context)
        else:
            server = smtplib.SMTP(self._host, port, timeout=TIMEOUT_SECONDS)
        try:
            if parts.scheme == "smtp" and self._host not in LOOPBACK:
                server.starttls(context=context)
            server.ehlo_or_helo_if_needed()
            if parts.username is not None and parts.password is not None:
                server.login(unquote(parts.username), unquote(parts.password))
        except BaseException:
            server.close()
            raise
        return server


def _refused(recipients: dict[str, tuple[int, bytes]], *, all_of_them: bool = False) -> Undelivered | None:
    """Return the error for the refused recipients. If others got the mail, another attempt would repeat it to them."""
    if not recipients:
        return None
    each = "; ".join(f"{name} ({code} {_words(answer)})" for name, (code, answer) in sorted(recipients.items()))
    others = "" if all_of_them else ", and accepted the others"
    is_final = not all_of_them or all(code >= _PERMANENT for code, _ in recipients.values())
    return Undelivered(f"the mail server refused {each}{others}", may_retry=not is_final)


def _reason(error: Exception) -> tuple[str, bool]:
    """Return what a server did, without the password, and whether another attempt can succeed."""
    match error:
        case smtplib.SMTPAuthenticationError(smtp_code=code):
            return f"does not accept the user and password of TOPO_SMTP_URL ({code})", code < _PERMANENT
        case smtplib.SMTPResponseException(smtp_code=code, smtp_error=answer):
            return f"answered {code} {_words(answer)}", code < _PERMANENT
        case ssl.SSLCertVerificationError(verify_message=why):
            return f"has a certificate that can't be verified: {why}; check SSL_CERT_FILE", False
        case smtplib.SMTPNotSupportedError():  # such as STARTTLS
            return f"can't be used: {_words(str(error))}", False
        case UnicodeError():  # quotes the password
            return "can't be used: the user, the password or an address is not ASCII", False
    return f"can't be reached: {getattr(error, 'strerror', None) or type(error).__name__}", True


def _words(answer: bytes | str) -> str:
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
    return one_line(text, MAX_ERROR)
