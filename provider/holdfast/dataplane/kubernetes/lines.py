"""Lines of a stream that comes in pieces, whatever its sender does: time and memory grow with what came, and not faster."""


class Lines:
    """Holds the line that has not ended yet.

    Args:
        limit_bytes: how much of a line is kept; what comes after that, up to the line's end, is dropped. None: all of it.
    """

    def __init__(self, limit_bytes: int | None = None) -> None:
        self._limit = limit_bytes
        self._held = bytearray()

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the lines that have ended with a piece, without those that are empty."""
        first, *others = piece.split(b"\n")
        self._keep(first)
        ended = []
        for other in others:
            ended.append(self.rest())
            self._keep(other)
        return [line for line in ended if line]

    def rest(self) -> bytes:
        """Return what is held, which is the last line where a stream has ended; nothing is held then."""
        held = bytes(self._held)
        self._held.clear()
        return held

    def _keep(self, text: bytes) -> None:
        # A command may say hundreds of megabytes without a line's end: to hold them, or to join them again and again, stops the caller.
        self._held += text if self._limit is None else text[: max(0, self._limit - len(self._held))]
