"""The arguments of a task, to JSON and back, checked against its annotations on both ways; never pickled."""

import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from penstock.core.errors import PenstockError


class WrongArguments(PenstockError):
    """A task cannot be called like this."""

    code = "wrong_arguments"
    fault = "caller"


class TaskInvalid(PenstockError):
    """A function cannot be a task."""

    code = "task_invalid"
    fault = "caller"


class ResultOf:
    """Stands for what another job will have returned, where an argument is expected."""

    __slots__ = ("job_id",)

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id


class Arguments:
    """The parameters of one function.

    Args:
        function: sync or async.
        name: of its task, for messages to people.

    Raises:
        TaskInvalid: an annotation is of a type that JSON cannot carry.
    """

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        self._function = function
        self._name = name
        self._signature = inspect.signature(function)
        self._decoders: dict[str, msgspec.json.Decoder[Any]] | None = None
        self._result: msgspec.json.Decoder[Any] | None = None

    def encode(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[dict[str, Raw], dict[str, Any]]:
        """Return the arguments as JSON by parameter, and which parameters take results of other jobs.

        Raises:
            WrongArguments: the function cannot be called with them, one has the wrong type, or JSON cannot carry it.
        """
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise WrongArguments(
                f"{self._name} cannot be called like this: {error}.", hint=f"It is {self._name}{self._signature}."
            ) from None
        decoders = self.decoders
        given: dict[str, Raw] = {}
        results: dict[str, str | list[str]] = {}
        for name, value in bound.arguments.items():
            awaited = _awaited(value)
            if awaited is not None:
                results[name] = awaited
                continue
            try:
                encoded = _encoder.encode(value)
                decoders[name].decode(encoded)
            except (msgspec.MsgspecError, TypeError, ValueError, OverflowError) as error:
                raise WrongArguments(
                    f"Argument {name} of {self._name}: {error}",
                    hint=f"It is {self._name}{self._signature}.",
                    field=name,
                ) from None
            given[name] = Raw(encoded)
        return given, results

    def values(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], by: tuple[str, ...] | None
    ) -> list[tuple[str, Any]]:
        """Return parameters and their values, defaults filled in: those named, or all. Raises WrongArguments."""
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        for name in by or ():
            if name not in bound.arguments:
                raise WrongArguments(
                    f"{self._name} has no parameter {name}.", hint=f"It is {self._name}{self._signature}.", field=name
                )
        values = ((name, value) for name, value in bound.arguments.items() if by is None or name in by)
        return [
            (name, value.job_id if isinstance(value, ResultOf) else msgspec.to_builtins(value, enc_hook=_to_json))
            for name, value in values
        ]

    def with_result(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return arguments with a result in the first parameter that still needs a value; as they are if none does.

        Parameters with defaults need none. ``*args`` takes the results in a list one by one.

        Raises:
            WrongArguments: the function cannot be called with the arguments there are.
        """
        try:
            bound = self._signature.bind_partial(*args, **kwargs).arguments
        except TypeError as error:
            raise WrongArguments(
                f"{self._name} cannot be called like this: {error}.", hint=f"It is {self._name}{self._signature}."
            ) from None
        for name, parameter in self._signature.parameters.items():
            if name in bound or parameter.kind is parameter.VAR_KEYWORD:
                continue
            if parameter.kind is parameter.VAR_POSITIONAL:
                return (*args, *(result if isinstance(result, list) else (result,))), dict(kwargs)
            if parameter.default is parameter.empty:
                if parameter.kind is parameter.POSITIONAL_ONLY:
                    return (*args, result), dict(kwargs)
                return args, {**kwargs, name: result}
        return args, dict(kwargs)

    def decode(self, given: Mapping[str, Raw | bytes]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments to call the function with.

        Raises:
            WrongArguments: they do not fit the function as it is now.
        """
        if not given and not self._signature.parameters:
            return (), {}
        decoders = self.decoders
        values: dict[str, Any] = {}
        for name, encoded in given.items():
            decoder = decoders.get(name)
            if decoder is None:
                raise WrongArguments(
                    f"{self._name} has no parameter {name}.", hint=f"It is {self._name}{self._signature}.", field=name
                )
            try:
                values[name] = decoder.decode(encoded)
            except (msgspec.MsgspecError, TypeError, ValueError) as error:
                raise WrongArguments(f"Argument {name} of {self._name}: {error}", field=name) from None
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for name, parameter in self._signature.parameters.items():
            if parameter.kind is parameter.VAR_POSITIONAL:
                args.extend(values.get(name, ()))
            elif parameter.kind is parameter.VAR_KEYWORD:
                kwargs.update(values.get(name, {}))
            elif name not in values:
                if parameter.default is parameter.empty:
                    raise WrongArguments(
                        f"{self._name} needs the argument {name}.",
                        hint=f"It is {self._name}{self._signature}.",
                        field=name,
                    )
                if parameter.kind is parameter.POSITIONAL_ONLY:
                    args.append(parameter.default)
            elif parameter.kind is parameter.POSITIONAL_ONLY or (
                parameter.kind is parameter.POSITIONAL_OR_KEYWORD and self._has_varargs
            ):
                args.append(values[name])
            else:
                kwargs[name] = values[name]
        return tuple(args), kwargs

    def decode_result(self, encoded: bytes | Raw) -> Any:
        """Return what the function returned, in the type it says it returns."""
        self.decoders  # noqa: B018  (the decoders are made together)
        assert self._result is not None
        return self._result.decode(encoded)

    @property
    def decoders(self) -> dict[str, "msgspec.json.Decoder[Any]"]:
        """One for each parameter, made at first use, when all names that annotations speak of are defined."""
        if self._decoders is None:
            self._decoders = self._made()
        return self._decoders

    @property
    def _has_varargs(self) -> bool:
        return any(each.kind is each.VAR_POSITIONAL for each in self._signature.parameters.values())

    def _made(self) -> dict[str, "msgspec.json.Decoder[Any]"]:
        try:
            hints = typing.get_type_hints(self._function, include_extras=True)
        except NameError as error:
            raise TaskInvalid(
                f"An annotation of {self._name} cannot be found: {error}.",
                hint="What is imported only for type checkers is not there when the program runs.",
            ) from None
        made: dict[str, msgspec.json.Decoder[Any]] = {}
        for name, parameter in self._signature.parameters.items():
            kind = hints.get(name, Any)
            if parameter.kind is parameter.VAR_POSITIONAL:
                kind = list[kind]  # type: ignore[valid-type]
            elif parameter.kind is parameter.VAR_KEYWORD:
                kind = dict[str, kind]  # type: ignore[valid-type]
            made[name] = self._decoder(kind, f"parameter {name}")
        try:
            self._result = self._decoder(hints.get("return", Any), "result")
        except TaskInvalid:  # what a task returns may be of any type that can be encoded
            self._result = msgspec.json.Decoder(Any)
        return made

    def _decoder(self, kind: Any, what: str) -> "msgspec.json.Decoder[Any]":
        try:
            return msgspec.json.Decoder(kind, dec_hook=_from_json)
        except TypeError as error:
            raise TaskInvalid(
                f"The {what} of {self._name} has a type that JSON cannot carry: {error}.",
                hint="Use plain types, dataclasses, msgspec.Struct, datetime, UUID, Decimal or enums.",
            ) from None


def encode_result(value: Any) -> Raw:
    """Return what a task returned as JSON. Raises TypeError, ValueError where JSON cannot carry it."""
    return _NULL if value is None else Raw(_encoder.encode(value))


def _awaited(value: Any) -> str | list[str] | None:
    if isinstance(value, ResultOf):
        return value.job_id
    if isinstance(value, list | tuple) and value and all(isinstance(each, ResultOf) for each in value):
        return [each.job_id for each in value]
    return None


def _to_json(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)  # pydantic's models say so themselves
    if dump is None:
        raise TypeError(f"{type(value).__qualname__} cannot be written as JSON")
    return dump(mode="json")


def _from_json(kind: type, value: Any) -> Any:
    if kind is object:
        return value
    validate = getattr(kind, "model_validate", None)
    if validate is None:
        raise TypeError(f"{kind.__qualname__} cannot be read from JSON")
    return validate(value)


_encoder = msgspec.json.Encoder(enc_hook=_to_json)
_NULL = Raw(b"null")
