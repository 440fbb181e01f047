"""Ends requests whose bodies come too slowly: servers have no deadline for them, and each holds a place."""

import asyncio
import time
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import TooSlow

#: A body may keep us waiting for so many seconds, and one more for each so many bytes that have come
#: (as Apache's mod_reqtimeout, body=20,MinRate=500). Time that we spend on what has come does not count.
GRACE_S: Final = 20.0
LEAST_BYTES_PER_S: Final = 500

#: What has no body that anybody reads.
_BODILESS = frozenset({"GET", "HEAD", "OPTIONS"})


class Patience:
    """ASGI middleware: whoever waits for a body is told when it comes too slowly."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request.

        Raises:
            TooSlow: Its body comes too slowly; where it is read, for its answer.
        """
        if scope["type"] != "http" or scope["method"] in _BODILESS:
            await self.app(scope, receive, send)
            return
        waited, received, whole = 0.0, 0, False

        async def receive_in_time() -> Message:
            nonlocal waited, received, whole
            if whole:
                return await receive()
            began = time.monotonic()
            try:
                async with asyncio.timeout(max(0.0, GRACE_S + received / LEAST_BYTES_PER_S - waited)):
                    message = await receive()
            except TimeoutError:
                raise TooSlow(
                    f"The body came too slowly: {received:,} bytes in {waited + time.monotonic() - began:.0f} seconds. "
                    "Send it again; large files are best sent in parts (/v1/uploads), which go on where they broke off."
                ) from None
            waited += time.monotonic() - began
            received += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            return message

        await self.app(scope, receive_in_time, send)
