"""The conditions of a policy statement (IAM user guide, "IAM JSON policy elements: Condition operators")."""

import operator
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from ipaddress import ip_address, ip_network

Conditions = Mapping[str, Mapping[str, tuple[str, ...]]]
"""Operator to key to values, as in the policy document."""

Test = Callable[[str, str], bool]
"""Compares what the request has with what the policy wants."""

_IF_EXISTS = "ifexists"
_OF_ANY, _OF_ALL = "foranyvalue:", "forallvalues:"


def holds(conditions: Conditions, facts: Mapping[str, str], *, unknown: bool) -> bool:
    """Return whether all conditions hold; of several values of one key, one must match, of a negated one none.

    Args:
        conditions: of a statement.
        facts: what is known of the request, by key in lower case. An empty text is a key that it does not have.
        unknown: the answer where an operator is not known or a value cannot be compared.
    """
    for name, keys in conditions.items():
        known = _operator(name)
        if known is None:
            return unknown
        test, is_negated, may_be_missing = known
        for key, values in keys.items():
            fact = facts.get(key.lower(), "")
            if name.lower() == "null":
                if not any((value == "true") == (fact == "") for value in values):
                    return False
                continue
            if not fact:
                if may_be_missing or is_negated:
                    continue
                return False
            try:
                matched = any(test(fact, value) for value in values)
            except ValueError:
                return unknown
            if matched == is_negated:
                return False
    return True


def is_operator(name: str) -> bool:
    """Return whether an operator is known."""
    return _operator(name) is not None


def _operator(name: str) -> tuple[Test, bool, bool] | None:
    """Return test, whether it is negated, and whether the key may be missing; ``None`` for an unknown operator."""
    name = name.lower().removeprefix(_OF_ANY).removeprefix(_OF_ALL)
    may_be_missing = name.endswith(_IF_EXISTS)
    name = name.removesuffix(_IF_EXISTS)
    if name in _TESTS:
        return _TESTS[name], False, may_be_missing
    for positive, negative in _NEGATIONS.items():
        if name == negative:
            return _TESTS[positive], True, may_be_missing
    return None


def _is_like(fact: str, wanted: str) -> bool:
    return fnmatchcase(fact, wanted.replace("[", "[[]"))


def _same_ignoring_case(fact: str, wanted: str) -> bool:
    return fact.lower() == wanted.lower()


def _is_in_network(fact: str, wanted: str) -> bool:
    return ip_address(fact) in ip_network(wanted, strict=False)


def _numbers(compare: Callable[[float, float], bool]) -> Test:
    return lambda fact, wanted: compare(float(fact), float(wanted))


def _instants(compare: Callable[[float, float], bool]) -> Test:
    return lambda fact, wanted: compare(_instant(fact), _instant(wanted))


def _instant(text: str) -> float:
    """Return ms since the epoch of a date in ISO 8601, or of a number of ms or (below a trillion) seconds."""
    if text.isdigit():
        return float(text) * (1 if len(text) > 11 else 1000)
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000


_TESTS: Mapping[str, Test] = {
    "stringequals": operator.eq,
    "stringequalsignorecase": _same_ignoring_case,
    "stringlike": _is_like,
    "arnequals": _is_like,
    "arnlike": _is_like,
    "bool": _same_ignoring_case,
    "null": operator.eq,
    "ipaddress": _is_in_network,
    "numericequals": _numbers(operator.eq),
    "numericlessthan": _numbers(operator.lt),
    "numericlessthanequals": _numbers(operator.le),
    "numericgreaterthan": _numbers(operator.gt),
    "numericgreaterthanequals": _numbers(operator.ge),
    "dateequals": _instants(operator.eq),
    "datelessthan": _instants(operator.lt),
    "datelessthanequals": _instants(operator.le),
    "dategreaterthan": _instants(operator.gt),
    "dategreaterthanequals": _instants(operator.ge),
}
_NEGATIONS = {
    "stringequals": "stringnotequals",
    "stringequalsignorecase": "stringnotequalsignorecase",
    "stringlike": "stringnotlike",
    "arnequals": "arnnotequals",
    "arnlike": "arnnotlike",
    "ipaddress": "notipaddress",
    "numericequals": "numericnotequals",
    "dateequals": "datenotequals",
}
