"""Bytes over a socket, as no well-meant client sends them, and what is answered."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterable, Awaitable, Iterable, Sequence
from contextlib import suppress

#: What is counted where there was no answer: the connection was closed, or nothing came in time.
CLOSED, SILENT = "closed", "silent"

Pieces = Iterable[bytes] | AsyncIterable[bytes]


async def exchange(port: int, pieces: Pieces, *, pause_s: float = 0.0, patience_s: float = 60.0) -> str:
    """Send pieces one after the other and return the status of the first answer, which may come before the end."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return CLOSED
    sending = asyncio.create_task(_send(writer, pieces, pause_s))
    try:
        async with asyncio.timeout(patience_s):
            line = await reader.readline()
        return line.split()[1].decode() if line.startswith(b"HTTP/1.1 ") else CLOSED
    except TimeoutError:
        return SILENT
    except OSError:
        return CLOSED
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


async def exchanges(each: Sequence[Awaitable[str]]) -> Counter[str]:
    """Carry out many at once."""
    return Counter(await asyncio.gather(*each))


async def _send(writer: asyncio.StreamWriter, pieces: Pieces, pause_s: float) -> None:
    if isinstance(pieces, AsyncIterable):
        async for piece in pieces:
            writer.write(piece)
            await writer.drain()
        return
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(pause_s)


def request(method: str, path: str, key: str = "", body: bytes = b"", /, **headers: str) -> bytes:
    """A whole request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: abuse"]
    lines += [f"Authorization: Bearer {key}"] if key else []
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if "Content_Length" not in headers and "Transfer_Encoding" not in headers and (body or method != "GET"):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + body
