"""What the log says about the job in which something was logged."""

import logging

from penstock.worker.context import running_job


class JobFields(logging.Filter):
    """Adds ``job_id``, ``task`` and ``attempt`` to each record; ``None`` outside of jobs. Put it on handlers."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let everything pass."""
        if not hasattr(record, "job_id"):
            job = running_job()
            record.job_id = job.job_id if job is not None else None
            record.task = job.task if job is not None else None
            record.attempt = job.attempt if job is not None else None
        return True
