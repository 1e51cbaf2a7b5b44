"""Penstock: a durable queue and worker system. ``Penstock`` is the app that tasks belong to."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penstock.app import Penstock as Penstock
    from penstock.worker import *  # noqa: F403


def __getattr__(name: str) -> Any:
    # imported when asked for: the server and the command line do without
    if name == "Penstock":
        from penstock.app import Penstock

        return Penstock
    # not `from penstock import worker`, which would ask this function for it
    worker = import_module("penstock.worker")
    if name in worker.__all__:
        return getattr(worker, name)
    raise AttributeError(f"module 'penstock' has no attribute {name!r}")
