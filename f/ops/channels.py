# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "anyio==4.16.0", "certifi==2026.10.19.post1", "h11==0.16.0", "httpcore==1.0.9", "httpx==0.28.1", "idna==3.20",
#   "typing-extensions==4.16.0",
# ]
# ///
"""The ways in which people are told: e-mail and Slack-compatible webhooks."""

import smtplib
import ssl
from collections.abc import Callable, Sequence
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Any

import httpx

from f.lib.outside import AddressRefused, post_json
from f.lib.variables import VariableMissing, read_variable
from f.ops.news import News, as_chat, as_text, subject_line

SECONDS = 10


class ChannelFailed(Exception):
    """A channel did not take what it was given. The text is a code, a type, or ours: servers are not quoted."""


def send_to(
    channel: dict[str, Any],
    news: Sequence[News],
    smtp: dict[str, Any] | None,
    *,
    may_be_local: bool,
    variable: Callable[[str], str] = read_variable,
) -> None:
    """Tell the channel (`kind`, `target`) all of `news` in one message. Raises ChannelFailed."""
    if channel["kind"] == "email":
        send_email(smtp or {}, channel["target"], subject_line(news), as_text(news))
        return
    try:
        status = post_json(variable(channel["target"]), as_chat(news), may_be_local=may_be_local)
    except VariableMissing as error:
        raise ChannelFailed(f"the address cannot be read: {error}") from error
    except AddressRefused as error:
        raise ChannelFailed(f"the address is not called: {error}") from error
    except httpx.HTTPError as error:
        raise ChannelFailed(type(error).__name__) from error
    if not 200 <= status < 300:
        raise ChannelFailed(f"HTTP {status}")


def send_email(smtp: dict[str, Any], recipient: str, subject: str, text: str) -> None:
    """Send by the server of `smtp`: host, port, security (starttls, tls, none), username, password, sender.

    Raises ChannelFailed.
    """
    host, sender = smtp.get("host"), smtp.get("sender")
    if not host or not sender:
        raise ChannelFailed("no SMTP server is set up: resource f/ops/smtp")
    message = EmailMessage()
    message["From"] = sender
    message["To"] = recipient
    message["Subject"] = " ".join(subject.split())
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2].strip("> ") or None)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text)
    try:
        with _connected(host, smtp) as server:
            if smtp.get("username"):
                server.login(smtp["username"], smtp.get("password") or "")
            server.send_message(message)
    except smtplib.SMTPRecipientsRefused as error:
        codes = sorted({str(code) for code, _ in error.recipients.values()})
        raise ChannelFailed(f"SMTP {', '.join(codes)}: the recipient is refused") from error
    except smtplib.SMTPResponseException as error:
        raise ChannelFailed(f"SMTP {error.smtp_code}: {type(error).__name__}") from error
    except (smtplib.SMTPException, OSError, ValueError) as error:
        raise ChannelFailed(f"SMTP: {type(error).__name__}") from error


def _connected(host: str, smtp: dict[str, Any]) -> smtplib.SMTP:
    """A password never goes over an open line."""
    security = smtp.get("security") or "starttls"
    port = int(smtp.get("port") or {"tls": 465, "starttls": 587}.get(security, 25))
    if security == "tls":
        return smtplib.SMTP_SSL(host, port, timeout=SECONDS, context=ssl.create_default_context())
    if security == "none" and smtp.get("username"):
        raise ChannelFailed("a user name needs security starttls or tls")
    server = smtplib.SMTP(host, port, timeout=SECONDS)
    if security != "none":
        server.starttls(context=ssl.create_default_context())
    return server
