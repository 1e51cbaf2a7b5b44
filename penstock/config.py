"""The configuration: a TOML file, then the environment, then flags; the later wins.

Every setting of ``Settings`` is a key of the file, ``PENSTOCK_<NAME>`` in the environment, and for most a flag of
``penstock serve``. The file is that of ``--config``, else of ``PENSTOCK_CONFIG``, else ``penstock.toml`` in the working
directory if there is one. A setting that nobody knows is an error.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import msgspec
from msgspec import UNSET, Struct, structs

from penstock.core.errors import PenstockError
from penstock.core.queues import QueueChanges, RedrivePolicy
from penstock.server.options import (
    DEFAULT_ACCOUNT,
    DEFAULT_MAX_BODY_BYTES,
    DEFAULT_PORT,
    DEFAULT_REGION,
    Key,
    Limits,
    RootDialect,
    ServerOptions,
    is_loopback,
)

DEFAULT_FILE = Path("penstock.toml")


class ConfigurationInvalid(PenstockError):
    """The configuration cannot be meant so."""

    code = "configuration_invalid"
    fault = "caller"


class KeySettings(Struct, frozen=True, kw_only=True):
    """An access key, a table ``[[keys]]`` of the file; in ``PENSTOCK_KEYS``: ``id:secret`` or ``id:secret:account``,
    several separated by commas.

    Attributes:
        access_key_id: letters, digits, ``_`` and ``-``; what clients have in ``AWS_ACCESS_KEY_ID``.
        secret: what clients have in ``AWS_SECRET_ACCESS_KEY``.
        account: twelve digits, the account whose queues the key reaches; the server's by default.
        name: of the user that queue policies know, as ``arn:aws:iam::<account>:user/<name>``; the ``access_key_id``
            where there is none. Several keys may share one.
    """

    access_key_id: str
    secret: str
    account: str | None = None
    name: str = ""


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
        auth: ``keys``: callers need one of the keys; ``none``: everybody may call. By default ``keys`` if any are set.
        limits: ``strict``: AWS's limits and cool-downs; ``relaxed``: Penstock's own, wider ones.
        public_url: how clients reach the server, such as ``https://queues.example.com``; queue URLs begin with it. By
            default they begin as each request says.
        region: AWS region of requests that name none.
        account: twelve digits; account of callers whose key names none.
        max_body_bytes: largest HTTP request body taken.
        read_seconds: how long a request may take to arrive.
        idle_seconds: how long a connection may do nothing.
        drain_seconds: how long requests under way may take to finish when the server stops.
        log_format: ``human``, ``json``, or ``auto``: human on a terminal.
        log_level: the least that is logged: ``debug``, ``info``, ``warning`` or ``error``.
        tls_certificate: PEM file; with ``tls_key`` the server speaks HTTPS.
        tls_key: PEM file.
        aweq_checkout_seconds: how long a message that was received through AweQ stays away; 0.001 to 43200. By default
            120 for a new queue, and what it has for one that exists.
        wq_lock_seconds: the same for WQ; by default 1.
        keys: who may call, see ``KeySettings``.
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
    region: str = DEFAULT_REGION
    account: str = DEFAULT_ACCOUNT
    max_body_bytes: int = DEFAULT_MAX_BODY_BYTES
    read_seconds: float = 30
    idle_seconds: float = 75
    drain_seconds: float = 25
    log_format: Literal["auto", "human", "json"] = "auto"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    tls_certificate: str | None = None
    tls_key: str | None = None
    aweq_checkout_seconds: float | None = None
    wq_lock_seconds: float | None = None
    keys: tuple[KeySettings, ...] = ()
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
        keys = tuple(Key(key.access_key_id, key.secret, key.account or self.account, key.name) for key in self.keys)
        same = {name: getattr(self, name) for name in Settings.__struct_fields__ if name in _OPTIONS}
        return ServerOptions(**{**same, "keys": keys if self.needs_keys else ()}, root_dialect=self.dialect)

    def queue_changes(self) -> dict[str, QueueChanges]:
        """Return the declared queues and their settings, dead-letter queues first."""
        declared = {name: queue_changes(name, table) for name, table in self.queues.items()}
        targets = {each.redrive.dead_letter_queue for each in declared.values() if each.redrive}
        return dict(sorted(declared.items(), key=lambda item: item[0] not in targets))


_OPTIONS = frozenset(ServerOptions.__struct_fields__) - {"keys"}
_NAMES = frozenset(Settings.__struct_fields__)
_IN_FILE_ONLY = frozenset({"queues"})
_OTHER_VARIABLES = frozenset({"PENSTOCK_CONFIG", "PENSTOCK_URL", "PENSTOCK_KEY"})
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
        value = _keys_in(text) if name == "keys" else text
        values[name] = _converted(name, value, variable)
    for name, value in flags.items():
        if value is not None:
            values[name] = _converted(name, value, f"--{name.replace('_', '-')}")
    settings = Settings(**values)
    _check(settings)
    return settings


def check_exposure(settings: Settings) -> None:
    """Refuse to serve everybody on an address that others reach.

    Raises:
        ConfigurationInvalid: saying what to do.
    """
    if settings.auth is None and not settings.keys and not is_loopback(settings.host):
        raise ConfigurationInvalid(
            f"Without keys, everybody who reaches {settings.host} could read and delete every message.",
            hint="Set keys ([[keys]] in the file, or PENSTOCK_KEYS=id:secret), or say --no-auth to serve everybody.",
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
            raise _unknown(f"{name} in {path}", name, _NAMES)
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
            raise _unknown(variable, variable, known | _OTHER_VARIABLES)
        if text:
            found[name] = (variable, text)
    return found


def _keys_in(text: str) -> list[dict[str, str]]:
    names = ("access_key_id", "secret", "account")
    return [dict(zip(names, part.strip().split(":", 2), strict=False)) for part in text.split(",") if part.strip()]


# -- what the values must be -------------------------------------------------------------------------------------------


def _converted(name: str, value: Any, source: str) -> Any:
    if name == "keys":
        for table in value if isinstance(value, list) else ():
            _check_names(table, KeySettings.__struct_fields__, source)
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
    for name in ("aweq_checkout_seconds", "wq_lock_seconds"):
        seconds = getattr(settings, name)
        _require(seconds is None or 0.001 <= seconds <= 43_200, name, "must be 0.001 to 43200")
    has_both = (settings.tls_certificate is None) == (settings.tls_key is None)
    _require(has_both, "tls_key", "and tls_certificate go together")
    url = settings.public_url
    _require(url is None or re.fullmatch(r"https?://[^/?#\s]+/?", url), "public_url", "must be http(s)://host[:port]")
    _require(settings.keys or settings.auth != "keys", "keys", 'are missing, though auth is "keys"')
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
    settings.queue_changes()


def _require(holds: object, name: str, text: str) -> None:
    if not holds:
        raise ConfigurationInvalid(f"{name} {text}.", hint=_meaning(name), field=name)


def queue_changes(queue: str, table: Mapping[str, Any]) -> QueueChanges:
    """Return the settings that a queue's table in the file names.

    Raises:
        ConfigurationInvalid: a setting is unknown or cannot be meant.
    """
    known = {*QueueChanges.__struct_fields__, "dead_letter_queue", "max_receive_count"} - {"redrive", "edge_attributes"}
    _check_names(table, known, f"[queues.{queue}]")
    rest = dict(table)
    target, count = rest.pop("dead_letter_queue", None), rest.pop("max_receive_count", None)
    try:
        changes = msgspec.convert(rest, QueueChanges)
        redrive = None if target is None else msgspec.convert([target, count or 0], tuple[str, int])
    except msgspec.ValidationError as error:
        raise ConfigurationInvalid(f"[queues.{queue}]: {str(error).replace('`', '')}.", field="queues") from None
    if (target is None) != (count is None):
        raise ConfigurationInvalid(
            f"[queues.{queue}]: dead_letter_queue and max_receive_count go together.",
            hint="Say where spent messages go, and after how many deliveries they are spent.",
            field="queues",
        )
    if queue.endswith(".fifo") and changes.is_fifo is UNSET:
        changes = structs.replace(changes, is_fifo=True)  # AWS knows a FIFO queue by its name
    return changes if redrive is None else structs.replace(changes, redrive=RedrivePolicy(*redrive))


def _check_names(table: Mapping[str, Any], known: Any, where: str) -> None:
    for name in table:
        if name not in known:
            raise _unknown(f"{name} in {where}", name, known)


def _unknown(shown: str, name: str, known: Any) -> ConfigurationInvalid:
    nearest = get_close_matches(name, list(known), 1, 0.6)
    hint = f"Did you mean {nearest[0]}?" if nearest else f"There are: {', '.join(sorted(known))}."
    return ConfigurationInvalid(f"There is no setting {shown}.", hint=hint, field=name)


def _meaning(name: str) -> str | None:
    """Return what the docstring of Settings says of a setting."""
    match = re.search(rf"^\s+{name}: (.+?)(?=^\s+\w+: |\Z)", Settings.__doc__ or "", re.MULTILINE | re.DOTALL)
    return None if match is None else f"{name}: {' '.join(match[1].split())}"
