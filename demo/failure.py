"""What ends the demo with one message."""


class DemoFailure(Exception):
    """The demo cannot go on; the message says why and what to do.

    Attributes:
        is_about_another_demo: whether `make demo` in the message means that one, and not the one that was started.
    """

    is_about_another_demo = False
