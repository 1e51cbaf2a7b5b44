"""The store in Redis or Valkey: every verb one atomic Lua script, shared by as many processes as needed."""

from penstock.store.redis.store import RedisStore

__all__ = ["RedisStore"]
