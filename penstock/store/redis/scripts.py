"""The Lua code, composed of its pieces at import: as a library of functions, and as a script for Redis before 7.

A script's functions are made anew at each call, which costs some 100 µs; those of a library once.
"""

import hashlib
import re
from importlib.resources import files

from msgspec import Struct

from penstock.store.redis.keys import lua_keys

_OPEN = ("queues", "rows", "places", "groups", "keeping", "sending")
_ENCLOSED = (
    "effects",
    "receiving",
    "settling",
    "administering",
    "looking",
    "moving",
    "carrying",
    "upkeep",
    "housing",
    "rewriting",
)


def _piece(name: str) -> str:
    text = files(__package__).joinpath("lua", f"{name}.lua").read_text()
    given = "".join(f"local {names}\n" for names in re.findall(r"^-- Gives: ([\w, ]+?),?$", text, re.MULTILINE))
    text = re.sub(r"^ *--.*\n", "", text, flags=re.MULTILINE)
    # Lua allows a function 200 locals: these give the pieces that follow only what they say
    return f"{given}do\n{text}end\n" if name in _ENCLOSED else text


_PIECES = lua_keys() + "".join(map(_piece, (*_OPEN, *_ENCLOSED, "performing")))

FUNCTION = f"penstock_{hashlib.sha1(_PIECES.encode(), usedforsecurity=False).hexdigest()[:12]}"
"""The library's name, and that of its function; another version of Penstock beside this one has another."""

_REGISTER = "redis.register_function{{function_name='{name}', callback=perform, flags={{{flags}}}}}\n"


class Form(Struct, frozen=True):
    """A way to have the code run.

    Attributes:
        load: the command that brings it to the server.
        call, call_making_room: how a command that runs it begins; the latter also while Redis's memory is full.
    """

    load: tuple[str, ...]
    call: tuple[str, ...]
    call_making_room: tuple[str, ...]


_LIBRARY = (
    f"#!lua name={FUNCTION}\n{_PIECES}"
    + _REGISTER.format(name=FUNCTION, flags="")
    + _REGISTER.format(name=f"{FUNCTION}_room", flags="'allow-oom'")
)
_SCRIPT = f"{_PIECES}return perform(KEYS, ARGV)\n"
_EVALSHA = ("EVALSHA", hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest())

FUNCTIONS = Form(("FUNCTION", "LOAD", "REPLACE", _LIBRARY), ("FCALL", FUNCTION), ("FCALL", f"{FUNCTION}_room"))
SCRIPTS = Form(("SCRIPT", "LOAD", _SCRIPT), _EVALSHA, _EVALSHA)
