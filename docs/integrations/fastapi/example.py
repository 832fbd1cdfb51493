"""A small product whose calls are metered by the billing site. Its paths are those of the default catalogue.

BILLING_SITE=http://127.0.0.1:8000 BILLING_KEY=… uvicorn example:app --port 9000
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse
from metered import Metered

app = FastAPI()
app.add_middleware(
    Metered,
    site=os.environ.get("BILLING_SITE", "http://127.0.0.1:8000"),
    key=os.environ.get("BILLING_KEY", ""),
    seconds=float(os.environ.get("BILLING_SECONDS", "5")),
)


@app.post("/api/v1/trace/start")
async def start(request: Request) -> dict[str, object]:
    """Ten tokens. The middleware says whose call it is."""
    body = await request.body()
    return {"account": request.headers["x-account-id"], "plan": request.headers["x-plan"], "bytes": len(body)}


@app.get("/api/v1/trace/expand")
async def expand(status: int = 200) -> dict[str, int]:
    """Five tokens, unless it fails."""
    if status == 500:
        raise RuntimeError("the trace is broken")
    if status != 200:
        raise HTTPException(status)
    return {"status": status}


@app.get("/api/v1/wallet-scanner/scan")
async def scan(request: Request) -> dict[str, str]:
    """Seven tokens, and long work: who leaves before the answer pays nothing."""
    while not await request.is_disconnected():
        await asyncio.sleep(0.02)
    return {"scanned": "for nobody"}


@app.get("/api/v1/reports/generate")
async def generate(parts: int = 3, broken: bool = False) -> StreamingResponse:
    """Four tokens, in parts that come one after another: each is sent when it is there."""

    async def lines() -> AsyncIterator[str]:
        for part in range(parts):
            yield f"part {part}\n"
            await asyncio.sleep(0.1)
            if broken:
                raise RuntimeError("the report is broken")

    return StreamingResponse(lines(), media_type="text/plain")
