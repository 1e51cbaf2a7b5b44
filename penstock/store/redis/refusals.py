"""What Redis refuses, and what is to be done about it."""

from enum import Enum, auto

import hiredis

from penstock.core.errors import StoreUnavailable


class Remedy(Enum):
    """How to go on after an error of Redis."""

    LOAD = auto()
    """The code is not there: load it."""

    SCRIPTS = auto()
    """The server knows no functions, or does not let us use them."""

    RECONNECT = auto()
    """The server is not the one to write to, not yet, or no longer: ask again, perhaps another."""

    ALONE = auto()
    """One call of the batch may be refused without the others."""

    NONE = auto()


_REMEDIES = {
    "NOSCRIPT": Remedy.LOAD,
    "LOADING": Remedy.RECONNECT,
    "READONLY": Remedy.RECONNECT,
    "MASTERDOWN": Remedy.RECONNECT,
    "BUSY": Remedy.RECONNECT,
    "MOVED": Remedy.RECONNECT,
    "ASK": Remedy.RECONNECT,
    "TRYAGAIN": Remedy.RECONNECT,
    "CLUSTERDOWN": Remedy.RECONNECT,
    "OOM": Remedy.ALONE,
}
_WORDS = {
    "OOM": ("The memory of Redis is full.", "Receive or purge what waits, or raise maxmemory."),
    "READONLY": ("Redis is a read-only replica.", "Name the primary, or use Sentinel."),
    "MISCONF": ("Redis cannot write to its disk and refuses changes.", "Make room on its disk; its log says more."),
    "NOREPLICAS": ("Redis has too few replicas and refuses changes.", "Start them, or lower min-replicas-to-write."),
    "LOADING": ("Redis is reading its data after a start.", "Wait a moment."),
    "CLUSTERDOWN": ("The Redis Cluster does not serve all of its slots.", "Look after its nodes."),
    "MOVED": ("Another node of the cluster holds the keys.", "Use redis+cluster:// to follow them."),
    "NOPERM": ("The Redis user may not do that.", "Allow it scripts, pub/sub and all commands on the keys of the tag."),
    "NOAUTH": ("Redis wants a password.", "Put it into the URL: redis://user:password@host."),
}


def remedy_for(error: Exception) -> Remedy:
    """Return how to go on after an answer that is an error."""
    if not isinstance(error, hiredis.ReplyError):
        return Remedy.RECONNECT
    text = str(error)
    if text.startswith("ERR Function not found"):
        return Remedy.LOAD
    if text.startswith("ERR unknown command"):
        return Remedy.SCRIPTS
    return _REMEDIES.get(_code(error), Remedy.NONE)


def refused(error: Exception, name: str) -> StoreUnavailable:
    """Return what callers are told of an error of the server ``name``."""
    words, hint = _WORDS.get(_code(error), ("", None))
    return StoreUnavailable(f"{words or 'Redis refused a change.'} ({name}: {error})", hint=hint)


def too_few_replicas(count: int, wanted: int) -> StoreUnavailable:
    """Return what callers are told of a change that not enough replicas have."""
    return StoreUnavailable(
        f"Only {count} of {wanted} replicas have confirmed the change in time.",
        hint="It happened, but may be lost with the server. Look after the replicas, or ask for fewer.",
    )


def _code(error: Exception) -> str:
    # errors met inside a script are wrapped: "ERR Error running script ... -OOM command not allowed ..."
    text = str(error)
    code = text.split(" ", 1)[0]
    if code not in _WORDS and code not in _REMEDIES:
        for each in _WORDS:
            if f"-{each} " in text or f" {each} " in text:
                return each
    return code
