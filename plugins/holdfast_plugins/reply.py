"""An answer that is sent only once it is on record. Pure ASGI, because it is on every path."""

from collections.abc import Awaitable, Callable

from starlette.types import Message, Receive, Scope, Send

from holdfast.core.errors import HoldfastError
from holdfast_plugins.errors import problem_of

Record = Callable[[Message, Scope], Awaitable[None]]


class Reply:
    """Sends what the application answers, once the answer is on record; else a problem document in its place.

    Args:
        send: sends to the caller.
        scope: of the call.
        receive: of the call.
        record: takes the beginning of the answer and the scope; raises HoldfastError where the answer is to be kept back.

    Attributes:
        is_begun: whether anything was sent.
    """

    def __init__(self, send: Send, scope: Scope, receive: Receive, record: Record) -> None:
        self._send, self._scope, self._receive, self._record = send, scope, receive, record
        self.is_begun = False
        self._is_replaced = False

    async def __call__(self, message: Message) -> None:
        """Send one message."""
        if self._is_replaced:
            return
        if message["type"] == "http.response.start":
            try:
                await self._record(message, self._scope)
            except HoldfastError as error:
                self._is_replaced = self.is_begun = True
                await problem_of(error)(self._scope, self._receive, self._send)
                return
            self.is_begun = True
        await self._send(message)
