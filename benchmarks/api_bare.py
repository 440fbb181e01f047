"""The ruler: what FastAPI and Starlette do on the same server when the service does nothing."""

import os
from typing import Any

from fastapi import FastAPI
from fastapi.responses import FileResponse

app = FastAPI(openapi_url=None)


@app.get("/bare")
async def bare() -> dict[str, str]:
    """Answer, and nothing else."""
    return {"status": "ok"}


@app.post("/bare", status_code=202)
async def bare_post(body: dict[str, Any]) -> dict[str, str]:
    """Read JSON, and nothing else."""
    return {"status": "ok"}


@app.get("/file", response_class=FileResponse)
async def file() -> str:
    """Starlette's own way to send a file."""
    return os.environ["BENCH_FILE"]
