"""The ruler: what FastAPI and Starlette do on the same server when the service does nothing."""

import os

from fastapi import FastAPI
from fastapi.responses import FileResponse

app = FastAPI(openapi_url=None)


@app.get("/bare")
async def bare() -> dict[str, str]:
    """Answer, and nothing else."""
    return {"status": "ok"}


@app.get("/file", response_class=FileResponse)
async def file() -> str:
    """Starlette's own way to send a file."""
    return os.environ["BENCH_FILE"]
