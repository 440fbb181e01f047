"""Listens to many streams of events from a process of its own, and writes down when it heard of each step."""

import asyncio
import json
import re
import sys
import time
from collections import defaultdict

_STEP = re.compile(rb'"step":(\d+)')


async def main() -> None:
    """Open the streams, say so, listen until a line comes in, and write what was heard when."""
    plan = json.loads(sys.stdin.readline())
    heard: dict[int, list[float]] = defaultdict(list)

    async def listen(request: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", plan["port"])
        writer.write(request)
        while data := await reader.read(65_536):
            for found in _STEP.finditer(data):
                heard[int(found[1])].append(time.time())

    requests = [request.encode() for request in plan["requests"]]
    tasks = [asyncio.create_task(listen(requests[n % len(requests)])) for n in range(plan["listeners"])]
    # Each tells where its job stands as it begins.
    while sum(map(len, heard.values())) < plan["listeners"]:  # noqa: ASYNC110 - an event for every line costs more
        await asyncio.sleep(0.1)
    print("listening", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    for task in tasks:
        task.cancel()
    print(json.dumps(heard))


if __name__ == "__main__":
    asyncio.run(main())
