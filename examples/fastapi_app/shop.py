"""A web application that answers at once and works in the background."""

import os

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from penstock import JobFailed, JobUnknown, Penstock, ResultNotReady

app = Penstock(os.environ.get("PENSTOCK_URL", "sqlite:///shop.db"))
web = FastAPI()


class Report(BaseModel):
    """Where a report is, and what it says when it is there."""

    id: str
    status: str
    text: str | None = None


@app.task(max_attempts=3)
def report(customer: str) -> str:
    if not customer.isalpha():
        raise ValueError(f"nobody is called {customer!r}")
    return f"{customer} ordered {len(customer)} things"


@web.post("/reports", status_code=202)
async def order(customer: str) -> Report:
    job = await report.asend(customer)
    return Report(id=job.id, status="waiting")


@web.get("/reports/{job_id}")
async def look(job_id: str) -> Report:
    job = app.async_job(job_id)
    try:
        text = await job.result(timeout_seconds=0)
    except JobUnknown:
        raise HTTPException(404, "There is no such report.") from None
    except (JobFailed, ResultNotReady):
        return Report(id=job_id, status=await job.status())
    return Report(id=job_id, status="succeeded", text=text)


@web.delete("/reports/{job_id}", status_code=204)
async def cancel(job_id: str) -> None:
    if not await app.async_job(job_id).cancel():
        raise HTTPException(409, "It has ended already.")
