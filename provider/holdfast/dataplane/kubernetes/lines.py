"""Lines of a stream that comes in pieces, whatever its sender does: time and memory grow with what came, and not faster."""

CUT = " … (the rest of the line is left out)".encode()
"""What stands at the end of a line that was longer than the limit: who reads it is not to take it for the whole."""


class Lines:
    """Holds the line that has not ended yet.

    Args:
        limit_bytes: how much of a line is kept; what comes after that, up to the line's end, is dropped, and `CUT` says so. None: all of it.
    """

    def __init__(self, limit_bytes: int | None = None) -> None:
        self._limit = limit_bytes
        self._held = bytearray()
        self._is_cut = False

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
        held = bytes(self._held) + (CUT if self._is_cut else b"")
        self._held.clear()
        self._is_cut = False
        return held

    def _keep(self, text: bytes) -> None:
        # A command may say hundreds of megabytes without a line's end: to hold them, or to join them again and again, stops the caller.
        room = len(text) if self._limit is None else self._limit - len(self._held)
        self._held += text[:room]
        self._is_cut |= len(text) > room
