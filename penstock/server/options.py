"""How a server serves, as values; where they come from (file, environment, flags) is not its matter."""

from ipaddress import ip_address
from typing import Literal

from msgspec import Struct

from penstock.core.rights import FULL, Rights

RootDialect = Literal["sqs", "aweq", "wq"]
Limits = Literal["strict", "relaxed"]

DEFAULT_ACCOUNT = "000000000000"
DEFAULT_REGION = "us-east-1"
DEFAULT_PORT = 3000
DEFAULT_SESSION_IDLE_SECONDS = 3600
DEFAULT_SESSION_SECONDS = 43_200
DEFAULT_MAX_BODY_BYTES = 4 << 20


class Key(Struct, frozen=True):
    """A pair that proves who is calling.

    Attributes:
        access_key_id: the public half, as in ``AWS_ACCESS_KEY_ID``.
        secret: the other half, as in ``AWS_SECRET_ACCESS_KEY``.
        account: twelve digits; the account whose queues the key reaches.
        name: of the user that queue policies know; the ``access_key_id`` where it is empty.
        rights: what it may do with the queues of its account.
    """

    access_key_id: str
    secret: str
    account: str = DEFAULT_ACCOUNT
    name: str = ""
    rights: Rights = FULL

    @property
    def user(self) -> str:
        """What policies call who holds the key."""
        return self.name or self.access_key_id


class ServerOptions(Struct, frozen=True, kw_only=True):
    """How a server serves.

    Attributes:
        host: address or name to listen on.
        port: TCP port; 0 lets the system choose one.
        root_dialect: who answers at ``/`` what is not plainly for another.
        limits: ``strict``: AWS's limits and cool-downs at the SQS edge; ``relaxed``: Penstock's own.
        auth: ``keys``: callers need a key; ``none``: everybody may call; ``None``: they need one if there are any, here
            or in the store.
        keys: who may call, beside those whose keys the store keeps.
        master_keys: what the secrets of the store's keys are derived from, the newest first.
        session_idle_seconds: a login of which nothing is heard for so long ends.
        session_seconds: every login ends after so long.
        account: twelve digits; whom callers without a key of their own speak for.
        region: AWS region of requests that name none.
        public_url: start of the queue URLs given out; ``None``: as the request's ``Host`` says.
        trusted_proxies: networks of proxies whose ``X-Forwarded-For``, ``-Proto`` and ``-Host`` are believed.
        max_body_bytes: largest request body taken. The default holds an SQS batch of 1 MiB, form-encoded.
        read_seconds: a request must have arrived whole so long after its first byte.
        idle_seconds: a connection on which nothing happens is closed after so long.
        drain_seconds: requests under way get so long to finish when the server stops.
        access_log: every request is logged.
        backlog: how many connections may wait to be accepted.
        tls_certificate, tls_key: PEM files; with both the server speaks HTTPS.
        aweq_checkout_seconds: how long a message that was received through AweQ stays away; ``None``: 120 for a new
            queue, one that exists keeps what it has.
        wq_lock_seconds: the same for WQ; 1 for a new queue.
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    root_dialect: RootDialect = "sqs"
    limits: Limits = "strict"
    auth: Literal["keys", "none"] | None = None
    keys: tuple[Key, ...] = ()
    master_keys: tuple[str, ...] = ()
    session_idle_seconds: float = DEFAULT_SESSION_IDLE_SECONDS
    session_seconds: float = DEFAULT_SESSION_SECONDS
    account: str = DEFAULT_ACCOUNT
    region: str = DEFAULT_REGION
    public_url: str | None = None
    trusted_proxies: tuple[str, ...] = ()
    max_body_bytes: int = DEFAULT_MAX_BODY_BYTES
    read_seconds: float = 30
    idle_seconds: float = 75
    drain_seconds: float = 25
    access_log: bool = False
    backlog: int = 4096
    tls_certificate: str | None = None
    tls_key: str | None = None
    aweq_checkout_seconds: float | None = None
    wq_lock_seconds: float | None = None


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address or name."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
