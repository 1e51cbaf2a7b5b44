"""Finding an app by its reference: ``package.module:name``."""

import importlib
import os
import sys
import traceback

from penstock.core.errors import PenstockError
from penstock.worker.app import App

DEFAULT_NAME = "app"


class AppNotLoaded(PenstockError):
    """A reference does not lead to an app."""

    code = "app_not_loaded"
    fault = "caller"


def load_app(reference: str) -> App:
    """Import a module, from the working directory too, and return the app in it.

    Args:
        reference: ``module:name``; the name is ``app`` if left out.

    Raises:
        AppNotLoaded: the module cannot be imported, or has no such app. The message has the traceback.
    """
    module_name, _, name = reference.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise _broken(module_name, error) from error
        raise AppNotLoaded(
            f"There is no module {error.name}.",
            hint=f"It is looked for in {os.getcwd()} and where Python finds packages; write package.module:app.",
        ) from None
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        raise _broken(module_name, error) from error
    for part in (name or DEFAULT_NAME).split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise AppNotLoaded(f"Module {module_name} has no {part!r}.", hint=_apps_in(module_name)) from None
    if not isinstance(found, App):
        raise AppNotLoaded(
            f"{reference} is no Penstock app but of type {type(found).__name__}.", hint=_apps_in(module_name)
        )
    return found


def _broken(module_name: str, error: BaseException) -> AppNotLoaded:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "importlib" not in frame.filename and frame.filename != __file__]
    told = "".join(traceback.format_list(ours)).rstrip()
    return AppNotLoaded(
        f"Module {module_name} cannot be imported: {type(error).__name__}: {error}\n{told}".rstrip(),
        hint="Repair the module; `python -c 'import ...'` shows the same.",
    )


def _apps_in(module_name: str) -> str:
    names = [name for name, value in vars(sys.modules[module_name]).items() if isinstance(value, App)]
    if names:
        return f"There is {' and '.join(f'{module_name}:{name}' for name in sorted(names))}."
    return 'Make one there: app = Penstock("sqlite:///jobs.db").'
