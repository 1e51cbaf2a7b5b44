"""The configuration: a TOML file, then the environment, then flags; the later wins.

Every setting of ``Settings`` is a key of the file, ``PENSTOCK_<NAME>`` in the environment, and for most a flag of
``penstock serve``. The file is that of ``--config``, else of ``PENSTOCK_CONFIG``, else ``penstock.toml`` in the working
directory if there is one. A setting that nobody knows is an error.
"""

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import msgspec
from msgspec import Struct

from penstock.core.queues import QueueChanges
from penstock.core.rights import Rights, read_grant
from penstock.queue_tables import ConfigurationInvalid, check_names, queue_changes, unknown
from penstock.server.directory.masters import SHORTEST
from penstock.server.options import (
    DEFAULT_ACCOUNT,
    DEFAULT_MAX_BODY_BYTES,
    DEFAULT_PORT,
    DEFAULT_REGION,
    DEFAULT_SESSION_IDLE_SECONDS,
    DEFAULT_SESSION_SECONDS,
    Key,
    Limits,
    RootDialect,
    ServerOptions,
    is_loopback,
)
from penstock.store.sealed.opening import FILE_VARIABLE, VARIABLE

__all__ = ["ConfigurationInvalid", "Settings", "check_exposure", "load", "queue_changes"]

DEFAULT_FILE = Path("penstock.toml")


class KeySettings(Struct, frozen=True, kw_only=True):
    """An access key, a table ``[[keys]]`` of the file; in ``PENSTOCK_KEYS``: ``id:secret`` or ``id:secret:account``,
    several separated by commas.

    Attributes:
        access_key_id: letters, digits, ``_`` and ``-``; what clients have in ``AWS_ACCESS_KEY_ID``.
        secret: what clients have in ``AWS_SECRET_ACCESS_KEY``.
        account: twelve digits, the account whose queues the key reaches; the server's by default.
        name: of the user that queue policies know, as ``arn:aws:iam::<account>:user/<name>``; the ``access_key_id``
            where there is none. Several keys may share one.
        allow: what it may do, a list of ``role`` or ``role:pattern``, the role being ``view``, ``send``, ``receive``,
            ``operate`` or ``admin``; everything by default.
    """

    access_key_id: str
    secret: str
    account: str | None = None
    name: str = ""
    allow: tuple[str, ...] = ("admin",)


class Settings(Struct, frozen=True, kw_only=True):
    """Everything that can be set.

    Attributes:
        host: address or name to listen on. Others than this machine's own need keys, or ``auth = "none"``.
        port: TCP port; 0 lets the system choose. The variable ``PORT``, which some platforms set, counts for less than
            ``PENSTOCK_PORT`` and more than the file.
        processes: how many processes serve the port.
        data_directory: where the default store is; created when missing.
        store: URL of the store: ``sqlite:///relative.db``, ``sqlite:////absolute.db``, ``memory://``. By default
            ``penstock.db`` in the data directory.
        dialect: who answers at the root of the server: ``sqs``, ``aweq`` or ``wq``.
        auth: ``keys``: callers need a key; ``none``: everybody may call. By default ``keys`` if any are set, or as soon
            as the store has one.
        limits: ``strict``: AWS's limits and cool-downs; ``relaxed``: Penstock's own, wider ones.
        public_url: how clients reach the server, such as ``https://queues.example.com``; queue URLs begin with it. By
            default they begin as each request says.
        trusted_proxies: networks of proxies, such as ``10.0.0.0/8``, that are believed what they say of the client; in
            the environment separated by commas.
        region: AWS region of requests that name none.
        account: twelve digits; account of callers whose key names none.
        max_body_bytes: largest HTTP request body taken.
        read_seconds: how long a request may take to arrive.
        idle_seconds: how long a connection may do nothing.
        drain_seconds: how long requests under way may take to finish when the server stops.
        log_format: ``human``, ``json``, or ``auto``: human on a terminal.
        log_level: the least that is logged: ``debug``, ``info``, ``warning`` or ``error``.
        access_log: every request is logged, with what it asked for, its answer's status and how long it took.
        traces: ``otlp``: requests and operations are traced, and sent to the collector that OpenTelemetry's variables
            name, such as ``OTEL_EXPORTER_OTLP_ENDPOINT``; ``off``.
        tls_certificate: PEM file; with ``tls_key`` the server speaks HTTPS.
        tls_key: PEM file.
        aweq_checkout_seconds: how long a message that was received through AweQ stays away; 0.001 to 43200. By default
            120 for a new queue, and what it has for one that exists.
        wq_lock_seconds: the same for WQ; by default 1.
        keys: who may call, see ``KeySettings``; beside those that ``penstock key create`` keeps in the store.
        master_key: 32 characters or more that nobody can guess; the secrets of the store's keys are derived from it.
            Several, separated by commas, the newest first. By default one in a file beside a SQLite store.
        session_idle_seconds: how long a login to the console lasts of which nothing is heard.
        session_seconds: how long a login to the console lasts at most.
        queues: tables ``[queues.<name>]``, created or updated when the server starts: the settings of a queue, and
            ``dead_letter_queue`` with ``max_receive_count``. In the file only.
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    processes: int = 1
    data_directory: str = "data"
    store: str | None = None
    dialect: RootDialect = "sqs"
    auth: Literal["keys", "none"] | None = None
    limits: Limits = "strict"
    public_url: str | None = None
    trusted_proxies: tuple[str, ...] = ()
    region: str = DEFAULT_REGION
    account: str = DEFAULT_ACCOUNT
    max_body_bytes: int = DEFAULT_MAX_BODY_BYTES
    read_seconds: float = 30
    idle_seconds: float = 75
    drain_seconds: float = 25
    log_format: Literal["auto", "human", "json"] = "auto"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    access_log: bool = False
    traces: Literal["off", "otlp"] = "off"
    tls_certificate: str | None = None
    tls_key: str | None = None
    aweq_checkout_seconds: float | None = None
    wq_lock_seconds: float | None = None
    keys: tuple[KeySettings, ...] = ()
    master_key: str | None = None
    session_idle_seconds: float = DEFAULT_SESSION_IDLE_SECONDS
    session_seconds: float = DEFAULT_SESSION_SECONDS
    queues: Mapping[str, Mapping[str, Any]] = {}

    @property
    def store_url(self) -> str:
        """Where the store is."""
        if self.store is not None:
            return self.store
        return f"sqlite:///{quote(str(Path(self.data_directory) / 'penstock.db'))}"

    @property
    def needs_keys(self) -> bool:
        """Whether callers must prove who they are."""
        return self.auth == "keys" or (self.auth is None and bool(self.keys))

    def server_options(self) -> ServerOptions:
        """Return how the server is to serve."""
        keys = tuple(
            Key(
                key.access_key_id, key.secret, key.account or self.account, key.name, Rights(map(read_grant, key.allow))
            )
            for key in self.keys
        )
        same = {name: getattr(self, name) for name in Settings.__struct_fields__ if name in _OPTIONS}
        own = {"keys": keys if self.needs_keys else (), "master_keys": self.master_keys}
        return ServerOptions(**{**same, **own}, root_dialect=self.dialect)

    @property
    def master_keys(self) -> tuple[str, ...]:
        """What the secrets of the store's keys are derived from, the newest first."""
        return tuple(each.strip() for each in (self.master_key or "").split(",") if each.strip())

    def queue_changes(self) -> dict[str, QueueChanges]:
        """Return the declared queues and their settings, dead-letter queues first."""
        declared = {name: queue_changes(name, table) for name, table in self.queues.items()}
        targets = {each.redrive.dead_letter_queue for each in declared.values() if each.redrive}
        return dict(sorted(declared.items(), key=lambda item: item[0] not in targets))


_OPTIONS = frozenset(ServerOptions.__struct_fields__) - {"keys", "master_keys"}
_NAMES = frozenset(Settings.__struct_fields__)
_IN_FILE_ONLY = frozenset({"queues"})
_OTHER_VARIABLES = frozenset({"PENSTOCK_CONFIG", "PENSTOCK_URL", "PENSTOCK_KEY", VARIABLE, FILE_VARIABLE})
_OF_KUBERNETES = re.compile(r"PENSTOCK(?:_[A-Z0-9_]+)?_(?:SERVICE_(?:HOST|PORT)(?:_\w+)?|PORT_\d+_\w+)")
"""Variables that Kubernetes sets for a service called ``penstock``; ``PENSTOCK_PORT=tcp://...`` is one too."""


def load(
    flags: Mapping[str, Any], *, environment: Mapping[str, str] = os.environ, file: Path | None = None
) -> Settings:
    """Gather the settings.

    Args:
        flags: by name of the setting; ``None`` is not set.
        environment: the variables of the process.
        file: the configuration file; must exist if given.

    Raises:
        ConfigurationInvalid: naming the source, the setting, and what is wrong.
    """
    values: dict[str, Any] = {}
    path = _file(file, environment)
    if path is not None:
        for name, value in _read(path).items():
            values[name] = _converted(name, value, f"{name} in {path}")
    for name, (variable, text) in _from_environment(environment).items():
        value = _IN_VARIABLES.get(name, str)(text)
        values[name] = _converted(name, value, variable)
    for name, value in flags.items():
        if value is not None:
            values[name] = _converted(name, value, f"--{name.replace('_', '-')}")
    settings = Settings(**values)
    _check(settings)
    return settings


def _rights(allow: tuple[str, ...]) -> Rights:
    return Rights(read_grant(each) for each in allow)


def check_exposure(settings: Settings, *, has_kept_keys: bool = False) -> None:
    """Refuse to serve everybody on an address that others reach.

    Args:
        settings: of the server.
        has_kept_keys: the store has keys.

    Raises:
        ConfigurationInvalid: saying what to do.
    """
    has_keys = bool(settings.keys) or has_kept_keys
    if settings.auth is None and not has_keys and not is_loopback(settings.host):
        raise ConfigurationInvalid(
            f"Without keys, everybody who reaches {settings.host} could read and delete every message.",
            hint="Make a key (penstock key create --store ...), set keys ([[keys]] in the file, or "
            "PENSTOCK_KEYS=id:secret), or say --no-auth to serve everybody.",
            field="auth",
        )


# -- sources -----------------------------------------------------------------------------------------------------------


def _file(file: Path | None, environment: Mapping[str, str]) -> Path | None:
    if file is None and environment.get("PENSTOCK_CONFIG"):
        file = Path(environment["PENSTOCK_CONFIG"])
    if file is None:
        return DEFAULT_FILE if DEFAULT_FILE.exists() else None
    return file


def _read(path: Path) -> dict[str, Any]:
    try:
        found = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationInvalid(
            f"The configuration {path} cannot be read: {error.strerror}.", hint="Check the path and its permissions."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationInvalid(
            f"{path} is not TOML: {error}.", hint="See https://toml.io for the format."
        ) from None
    for name in found:
        if name not in _NAMES:
            raise unknown(f"{name} in {path}", name, _NAMES)
    return found


def _from_environment(environment: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return variable and text by the name of the setting."""
    found = {}
    if environment.get("PORT"):
        found["port"] = ("PORT", environment["PORT"])
    for variable, text in environment.items():
        name = variable.removeprefix("PENSTOCK_").lower()
        if name == variable.lower() or variable in _OTHER_VARIABLES or _OF_KUBERNETES.fullmatch(variable):
            continue
        if name == "port" and text.startswith("tcp://"):
            continue
        if name not in _NAMES or name in _IN_FILE_ONLY:
            known = {f"PENSTOCK_{each.upper()}" for each in _NAMES - _IN_FILE_ONLY}
            raise unknown(variable, variable, known | _OTHER_VARIABLES)
        if text:
            found[name] = (variable, text)
    return found


def _list_in(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


def _keys_in(text: str) -> list[dict[str, str]]:
    names = ("access_key_id", "secret", "account")
    return [dict(zip(names, part.strip().split(":", 2), strict=False)) for part in text.split(",") if part.strip()]


_IN_VARIABLES: Mapping[str, Callable[[str], Any]] = {"keys": _keys_in, "trusted_proxies": _list_in}
"""How the settings are written there that are lists."""

# -- what the values must be -------------------------------------------------------------------------------------------


def _converted(name: str, value: Any, source: str) -> Any:
    if name == "keys":
        for table in value if isinstance(value, list) else ():
            check_names(table, KeySettings.__struct_fields__, source)
    try:
        return msgspec.convert(value, Settings.__annotations__[name], strict=not isinstance(value, str))
    except msgspec.ValidationError as error:
        raise ConfigurationInvalid(
            f"{source}: {str(error).replace('`', '')}.", hint=_meaning(name), field=name
        ) from None


def _check(settings: Settings) -> None:
    _require(0 <= settings.port <= 65535, "port", "must be 0 to 65535")
    _require(1 <= settings.processes <= 1024, "processes", "must be 1 to 1024")
    in_memory = (settings.store or "").startswith("memory:")
    _require(settings.processes == 1 or not in_memory, "processes", "must be 1 for a store in memory")
    _require(re.fullmatch(r"\d{12}", settings.account), "account", "must be twelve digits")
    _require(re.fullmatch(r"[a-z0-9-]{1,40}", settings.region), "region", "must be an AWS region name")
    _require(settings.max_body_bytes >= 1024, "max_body_bytes", "must be at least 1024")
    for name in ("read_seconds", "idle_seconds", "drain_seconds"):
        _require(0 <= getattr(settings, name) <= 86_400, name, "must be 0 to 86400")
    for name in ("session_idle_seconds", "session_seconds"):
        _require(60 <= getattr(settings, name) <= 30 * 86_400, name, "must be 60 to 2592000")
    for name in ("aweq_checkout_seconds", "wq_lock_seconds"):
        seconds = getattr(settings, name)
        _require(seconds is None or 0.001 <= seconds <= 43_200, name, "must be 0.001 to 43200")
    for each in settings.trusted_proxies:
        _require(_is_network(each), "trusted_proxies", f"are networks such as 10.0.0.0/8; {each[:60]!r} is none")
    has_both = (settings.tls_certificate is None) == (settings.tls_key is None)
    _require(has_both, "tls_key", "and tls_certificate go together")
    url = settings.public_url
    _require(url is None or re.fullmatch(r"https?://[^/?#\s]+/?", url), "public_url", "must be http(s)://host[:port]")
    for each in settings.master_keys:
        _require(len(each) >= SHORTEST, "master_key", f"needs {SHORTEST} characters or more")
    ids = [key.access_key_id for key in settings.keys]
    _require(len(ids) == len(set(ids)), "keys", "must have different access key ids")
    for key in settings.keys:
        _require(
            re.fullmatch(r"[\w-]{1,128}", key.access_key_id, re.ASCII), "keys", "have ids of letters, digits, _, -"
        )
        _require(
            len(key.secret) >= 8,
            "keys",
            f"need secrets of 8 characters or more; that of {key.access_key_id} is shorter",
        )
        account = key.account or settings.account
        _require(re.fullmatch(r"\d{12}", account), "keys", "have accounts of twelve digits")
        for grant in key.allow:
            try:
                read_grant(grant)
            except ValueError as error:
                _require(False, "keys", f"allow what cannot be: {error}")
    settings.queue_changes()


def _is_network(text: str) -> bool:
    try:
        ip_network(text)
    except ValueError:
        return False
    return True


def _require(holds: object, name: str, text: str) -> None:
    if not holds:
        raise ConfigurationInvalid(f"{name} {text}.", hint=_meaning(name), field=name)


def _meaning(name: str) -> str | None:
    """Return what the docstring of Settings says of a setting."""
    match = re.search(rf"^\s+{name}: (.+?)(?=^\s+\w+: |\Z)", Settings.__doc__ or "", re.MULTILINE | re.DOTALL)
    return None if match is None else f"{name}: {' '.join(match[1].split())}"
