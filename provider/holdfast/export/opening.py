"""Opens a sink as its settings say."""

import socket
from collections.abc import Callable

from holdfast.export.config import AnySinkSettings, FilesSettings, Format, SyslogSettings, WebhookSettings
from holdfast.export.files import FilesSink
from holdfast.export.sink import Sink
from holdfast.export.syslog import Receiver, RelpSink, TlsSink
from holdfast.export.trust import client_context
from holdfast.export.webhook import KEY_BYTES, WebhookSink
from holdfast.objects.secret import read_secret


def open_sink(settings: AnySinkSettings, probe: Callable[[str], None] = lambda _: None) -> Sink:
    """Return the sink; nothing is connected yet.

    Raises:
        InvalidRequest: a file that the settings name cannot be used.
    """
    match settings:
        case WebhookSettings():
            read_secret(settings.key_file, least_bytes=KEY_BYTES)
            if settings.authorization_file is not None:
                read_secret(settings.authorization_file)
            return WebhookSink(
                settings.url,
                settings.key_file,
                is_json=settings.format is not Format.CEF,
                ca_file=settings.ca_file,
                authorization_file=settings.authorization_file,
                timeout_s=settings.timeout_s,
            )
        case SyslogSettings():
            context = client_context(settings.ca_file, settings.certificate_file, settings.certificate_key_file)
            sender = settings.sender or socket.gethostname()
            receiver = Receiver(settings.host, settings.port, context, sender, settings.timeout_s)
            return RelpSink(receiver) if settings.protocol == "relp" else TlsSink(receiver)
        case FilesSettings():
            return FilesSink(settings.directory, probe)
