"""What ends the demo with one message."""


class DemoFailure(Exception):
    """The demo cannot go on; the message says why and what to do."""
