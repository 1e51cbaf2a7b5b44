"""Penstock: a durable queue and worker system. ``Penstock`` is the app that tasks belong to."""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penstock.app import Penstock as Penstock
    from penstock.worker import *  # noqa: F403


def __getattr__(name: str) -> Any:
    # imported when asked for: the server and the command line do without
    if name == "Penstock":
        return import_module("penstock.app").Penstock
    # a module of ours is asked for here before it is imported; importing the worker for that would ask again
    if not name.startswith("_") and find_spec(f"penstock.{name}") is None:
        worker = import_module("penstock.worker")
        if name in worker.__all__:
            return getattr(worker, name)
    raise AttributeError(f"module 'penstock' has no attribute {name!r}")
