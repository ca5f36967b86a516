"""Check where the Monday message is sent. Nothing is sent."""

from collections.abc import Iterator

from topo_pipeline.alerts.delivery import Undelivered, chat_of
from topo_pipeline.alerts.mail import mail_of
from topo_pipeline.days import Clock
from topo_pipeline.doctor.finding import Finding, ok, problem
from topo_pipeline.settings import Settings


def look(settings: Settings, clock: Clock) -> Iterator[Finding]:
    """Report the chat, to which nothing is sent, and log in to the mail server."""
    chat, mail = chat_of(settings), mail_of(settings, clock)
    if chat is not None:
        yield ok("message/chat", f"Alerts and the Monday message go to {chat.place}. No message is sent to test it.")
    if mail is not None:
        try:
            mail.check()
        except Undelivered as error:
            yield problem("message/mail", f"No mail can be sent: {error}.", "Check TOPO_SMTP_URL.")
        else:
            yield ok("message/mail", f"The Monday message goes to {mail.place}, which accepts the login.")
    if chat is None and mail is None:
        yield ok("message", "The Monday message is not sent, because neither a chat nor mail is configured.")
