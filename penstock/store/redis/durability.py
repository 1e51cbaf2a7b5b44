"""What an answered change survives, as the server is set; and what is set so that messages may be lost."""

from typing import Any

import hiredis

from penstock.store.examination import Concern, Examination
from penstock.store.redis.calls import Asking

_WANTED = ("appendonly", "appendfsync", "save", "maxmemory", "maxmemory-policy", "min-replicas-to-write")
_PAGE = "docs/redis.md"


async def examine(calls: Asking) -> Examination:
    """Ask a server how it is set. Raises StoreUnavailable."""
    settings = _texts(await calls.ask("CONFIG", "GET", *_WANTED))
    if not settings:
        # Redis before 7 takes one name at a time; managed servers may not tell at all
        for name in _WANTED:
            settings.update(_texts(await calls.ask("CONFIG", "GET", name)))
    if not settings:
        return Examination("unknown", (Concern("the Redis server does not tell its settings", f"See {_PAGE}."),))
    replicas = _replicas(await calls.ask("INFO", "replication"))
    durability = _durability(settings)
    concerns = _of_persistence(durability)
    if settings.get("maxmemory-policy") != "noeviction" and settings.get("maxmemory", "0") != "0":
        policy = settings.get("maxmemory-policy")
        concerns.append(
            Concern(
                f"Redis evicts keys when its memory is full (maxmemory-policy {policy}); messages would vanish",
                "Set maxmemory-policy noeviction: then sending is refused instead.",
            )
        )
    waits = calls.address.wait_replicas
    if replicas and not waits and settings.get("min-replicas-to-write", "0") == "0":
        concerns.append(
            Concern(
                f"Redis has {replicas} replicas, and answers before they know; a failover may lose the latest changes",
                "Add wait_replicas=1 to the URL.",
            )
        )
    return Examination(durability, tuple(concerns))


def _durability(settings: dict[str, str]) -> str:
    if settings.get("appendonly") == "yes":
        return "full" if settings.get("appendfsync") == "always" else "os"
    return "snapshots" if settings.get("save") else "none"


def _of_persistence(durability: str) -> list[Concern]:
    if durability == "snapshots":
        return [
            Concern(
                "Redis keeps snapshots only; when it ends suddenly, what was answered since the last one is lost",
                "Set appendonly yes, and appendfsync always or everysec.",
            )
        ]
    if durability == "none":
        return [Concern("Redis keeps nothing on disk; all is lost when it ends", "Set appendonly yes.")]
    return []


def _texts(answer: Any) -> dict[str, str]:
    if isinstance(answer, hiredis.ReplyError):
        return {}
    return {name.decode(): value.decode() for name, value in answer.items()}


def _replicas(answer: Any) -> int:
    if isinstance(answer, hiredis.ReplyError):
        return 0
    lines = dict(line.split(":", 1) for line in answer.decode().splitlines() if ":" in line)
    return int(lines.get("connected_slaves", 0))
