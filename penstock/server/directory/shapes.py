"""What is kept of keys, and what is told of them. No secret is ever in it."""

from msgspec import Struct

PREFIX = "penstock/access/"
"""Records whose keys begin so are the directory's. No dialect shows or takes them."""

VERSION = PREFIX + "version"
"""Put anew by every change, so that servers see that there was one. While it is there, keys are asked for."""

KEYS = PREFIX + "key/"


class KeptKey(Struct, frozen=True, omit_defaults=True):
    """A key as it is kept; its secret is derived from the master key and the id.

    Attributes:
        key_id: the public half.
        name: of the user that queue policies know.
        account: twelve digits.
        allow: its grants, as text.
        master_id: of the master key that its secret is derived from.
        created_at, created_by: when (ms since the epoch) and by whom it was made.
        expires_at: not accepted from this instant on; ``None``: never ends by itself.
        revoked_at, revoked_by: when and by whom it was revoked.
        replaced_by: id of the key that it was rotated to.
        note: the maker's own words.
    """

    key_id: str
    name: str
    account: str
    allow: tuple[str, ...]
    master_id: str
    created_at: int
    created_by: str = ""
    expires_at: int | None = None
    revoked_at: int | None = None
    revoked_by: str = ""
    replaced_by: str | None = None
    note: str = ""


class KeyWish(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a key is to be.

    Attributes:
        name: of the user that queue policies know; the key's own id where it is empty.
        allow: its grants, as text; at least one.
        account: twelve digits; the server's where there is none.
        expires_seconds: how long it is accepted; ``None``: until it is revoked.
        note: the maker's own words.
    """

    allow: tuple[str, ...]
    name: str = ""
    account: str | None = None
    expires_seconds: float | None = None
    note: str = ""


class KeyView(Struct, frozen=True, omit_defaults=True):
    """What is told of a key; ``status`` is ``active``, ``ending`` (it was rotated), ``expired`` or ``revoked``."""

    key_id: str
    name: str
    account: str
    allow: tuple[str, ...]
    status: str
    created_at: int
    created_by: str = ""
    expires_at: int | None = None
    revoked_at: int | None = None
    revoked_by: str = ""
    replaced_by: str | None = None
    note: str = ""


class NewKey(Struct, frozen=True):
    """A key that was made, with its secret: the only time that it is told.

    ``is_first``: nothing was kept before, and from now on servers on the store ask for keys.
    """

    key: KeyView
    secret: str
    is_first: bool = False


class Grace(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """How long the old key is still accepted when it is rotated."""

    grace_seconds: float = 7 * 86_400


def key_view(kept: KeptKey, now: int) -> KeyView:
    """Return what is told of a key."""
    if kept.revoked_at is not None:
        status = "revoked"
    elif kept.expires_at is not None and kept.expires_at <= now:
        status = "expired"
    else:
        status = "ending" if kept.replaced_by is not None else "active"
    return KeyView(
        key_id=kept.key_id,
        name=kept.name,
        account=kept.account,
        allow=kept.allow,
        status=status,
        created_at=kept.created_at,
        created_by=kept.created_by,
        expires_at=kept.expires_at,
        revoked_at=kept.revoked_at,
        revoked_by=kept.revoked_by,
        replaced_by=kept.replaced_by,
        note=kept.note,
    )
