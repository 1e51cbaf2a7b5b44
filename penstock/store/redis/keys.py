"""Every Redis key there is, built in this one place: for Python, and as the functions that the Lua pieces call.

All keys of a shard carry one hash tag, so that one atomic step finds them on one server. ``{number}`` is a queue's
number, which a purge or a delete takes away.
"""

KEYS = {
    # -- queues
    "queue": "q:{name}",  # hash: settings, facts, counts, instants
    "names": "queues",  # zset by name: all queues
    "sources": "sources:{name}",  # zset by name: queues that dead-letter to this one
    "resting": "resting",  # zset by instant: names of deleted queues
    "numbers": "numbers",  # hash: queue number -> name
    "orphans": "orphans",  # zset: numbers of purged and deleted queues, until they are swept
    "counters": "counters",  # hash: last queue number, last event id
    # -- messages
    "ids": "ids",  # hash: message id -> "m" queue number and sequence number, or "j" join id
    "page": "m:{number}:{page}",  # hash: contents and states of 128 sequence numbers
    "pages": "pages:{number}",  # zset by page: pages that hold messages
    "fresh": "f:{number}:{lane}",  # list of sequence numbers: never handed out, in order of visible_at
    "waiting": "w:{number}",  # zset by lane and visible_at: other messages without group and token
    "leased": "l:{number}",  # zset by lane and visible_at: messages without group, with token
    "expiring": "x:{number}",  # zset by instant: what ends by itself, "m" messages, "d" duplicates, "a" attempts
    "duplicates": "d:{number}",  # hash: scope and deduplication id -> message and until when
    "attempts": "a:{number}",  # hash: receive attempt id -> deliveries and until when
    "due": "due",  # zset by instant: queue numbers, by when something of them is to be swept
    "owner": "o:{owner}",  # set: queue and sequence numbers of what an owner was handed
    # -- groups
    "heads": "h:{number}",  # zset by lane and ready_at: turn and group id
    "groups": "g:{number}",  # hash: group id -> the group's row
    "group_ids": "gi:{number}",  # zset by name: group ids
    "parked": "gp:{number}",  # zset by name: ids of parked groups
    "group_rows": "gr:{number}:{group}",  # zset: its messages, strict by sequence number, fair by lane and visible_at
    "group_leases": "gl:{number}:{group}",  # zset by visible_at: its messages with a token
    "grouped_leases": "lg:{number}",  # zset by visible_at: messages of groups, with token
    "grouped_delays": "dg:{number}",  # zset by visible_at: messages of groups that were delayed
    # -- effects
    "records": "r",  # hash: key -> record
    "record_keys": "rk",  # zset by name: keys
    "tagged": "rt:{tag}",  # zset by name: keys with that tag
    "record_ends": "rx",  # zset by instant: keys
    "joins": "j",  # hash: join id -> join
    "join_drafts": "jd",  # hash: join id -> head and tail of the message it will send
    "join_parts": "jp:{join}",  # set: parts that have arrived
    "join_ends": "jx",  # zset by instant: join ids
    # -- feed and upkeep
    "events": "e",  # stream of events
    "events_of": "eh",  # hash: message id -> event ids
    "move": "mv:{move}",  # hash: one move task
    "moves_of": "mq:{name}",  # zset by start: moves of a source
    "running": "mr",  # zset by start: moves that run
    "ended": "me",  # zset by instant: moves to forget
    "running_of": "ms",  # hash: source -> the move that runs
    "map": "map",  # hash: where things live in a store of several shards, its epoch, until when records are noted
    "noted": "noted",  # set: keys of records that were put while things move to other shards
    "journal": "once:{client}",  # hash: what a client's latest batches were answered
    "wakeups": "wake",  # pub/sub channel
    "check": "check",
}

DEFAULT_TAG = "penstock"


def prefix(tag: str) -> str:
    """Return what all keys of the shard with that hash tag begin with."""
    return f"{{{tag}}}:"


def key(tag: str, name: str, **parts: object) -> str:
    """Return a key of the shard with that hash tag."""
    return prefix(tag) + KEYS[name].format(**parts)


def lua_keys() -> str:
    """Return the Lua functions that build the keys: ``key_page(number, page)``; ``P`` is the shard's prefix."""
    lines = ["local P"]
    for name, template in KEYS.items():
        fixed, *parts = template.split("{")
        names = [part.split("}")[0] for part in parts]
        terms = [f"P .. '{fixed}'"]
        for part in parts:
            inner, rest = part.split("}")
            terms += [inner] + ([f"'{rest}'"] if rest else [])
        lines.append(f"local function key_{name}({', '.join(names)}) return {' .. '.join(terms)} end")
    return "\n".join(lines) + "\n"
