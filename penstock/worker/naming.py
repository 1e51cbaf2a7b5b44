"""What a task is called if nobody says: after its module and function, by the name that a worker imports it by."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def name_of(function: Callable[..., Any]) -> str:
    """Return a name for the task of a function.

    A module that is run as a program calls itself ``__main__``. A worker imports it by its own name, and must find the
    same tasks there.
    """
    module = function.__module__
    return f"{_main_module() if module == '__main__' else module}.{function.__qualname__}"


def _main_module() -> str:
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None:  # python -m shop.tasks
        return str(spec.name).removesuffix(".__main__")
    file = getattr(main, "__file__", None)
    return Path(file).stem if file else "__main__"
