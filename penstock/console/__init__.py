"""The console: pages that show what a server's queues and jobs do, and what the pages ask beside the REST API."""

from penstock.console.console import Console
from penstock.console.pages import MOUNT

__all__ = ["MOUNT", "Console"]
