"""Signatures, checked against botocore's own signer; any change of what was signed must be noticed."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.errors import NotAuthenticated
from penstock.server.auth import Gate
from penstock.server.directory.throttle import Throttle
from penstock.server.options import Key
from penstock.wire.http import Request

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
KEY = Key("AKIDEXAMPLE", SECRET, account="111122223333", name="test")
OTHER = Key("AKIDOTHER", "another secret that is long enough", account="444455556666")
HOST = "queues.example.com:3000"

Headers = list[tuple[bytes, bytes]]


class Clock:
    """Says when it is; botocore signs by the machine's clock."""

    def __init__(self) -> None:
        self.ahead_seconds = 0.0

    def __call__(self) -> float:
        import time

        return time.time() + self.ahead_seconds


CLOCK = Clock()
PATIENT = Throttle(1 << 30, 1 << 30)
GATE = Gate((KEY, OTHER), account="000000000000", region="us-east-1", throttle=PATIENT, now=CLOCK)


@pytest.fixture(autouse=True)
def _on_time() -> None:
    CLOCK.ahead_seconds = 0


def signed(
    method: str = "POST",
    url: str = f"http://{HOST}/",
    body: bytes = b'{"QueueName": "orders"}',
    *,
    presigned_seconds: int | None = None,
    key: Key = KEY,
    region: str = "eu-central-1",
    service: str = "sqs",
    params: dict[str, str] | None = None,
    **headers: str,
) -> AWSRequest:
    """Return a request as botocore signs it."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    request = AWSRequest(method, url, data=body, headers=headers, params=params)
    credentials = Credentials(key.access_key_id, key.secret)
    if presigned_seconds is None:
        SigV4Auth(credentials, service, region).add_auth(request)
    else:
        SigV4QueryAuth(credentials, service, region, expires=presigned_seconds).add_auth(request)
    return request


def arrived(request: AWSRequest) -> tuple[Request, Headers]:
    """Return a request as the server gets it."""
    sent = request.prepare()
    parts = urlsplit(sent.url)
    headers = [(b"host", parts.netloc.encode())]
    for name, value in sent.headers.items():
        headers.append((name.lower().encode(), value.encode() if isinstance(value, str) else value))
    body = sent.body or b""
    raw_path = parts.path.encode() or b"/"
    return (
        Request(
            method=sent.method,
            path=unquote(parts.path) or "/",
            query=parts.query.encode(),
            headers=dict(headers),
            body=body.encode() if isinstance(body, str) else body,
            scheme="http",
            account="000000000000",
            region="us-east-1",
            request_id="id",
            raw_path=raw_path,
        ),
        headers,
    )


def identify(request: Request, headers: Headers) -> None:
    GATE.identify(request, headers)


def assert_good(request: AWSRequest) -> None:
    got, headers = arrived(request)
    identify(got, headers)
    assert (got.account, got.region) == (KEY.account, "eu-central-1")


def refusal(request: Request, headers: Headers) -> NotAuthenticated:
    with pytest.raises(NotAuthenticated) as caught:
        identify(request, headers)
    assert SECRET not in str(caught.value)
    return caught.value


# -- what must be accepted -------------------------------------------------------------------------------------------

JSON = {"X_Amz_Target": "AmazonSQS.CreateQueue", "Content_Type": "application/x-amz-json-1.0"}

GOOD: dict[str, Callable[[], AWSRequest]] = {
    "json": lambda: signed(**JSON),
    "no body": lambda: signed("GET", body=b""),
    "query in the url": lambda: signed("GET", f"http://{HOST}/?Version=2012-11-05&Action=ListQueues&A=1&a=2", b""),
    "query as parameters": lambda: signed("GET", params={"Action": "SendMessage", "MessageBody": "ü/ +&=~*'()%25\n"}),
    "empty values": lambda: signed("GET", f"http://{HOST}/?b=&a&c=1&", b""),
    "the same name twice": lambda: signed("GET", f"http://{HOST}/?b=2&b=1&a=3", b""),
    "a name that begins another": lambda: signed("GET", f"http://{HOST}/?a.b=2&a=1&a-b=3", b""),
    "queue url": lambda: signed("POST", f"http://{HOST}/111122223333/orders.fifo"),
    "odd path": lambda: signed("POST", f"http://{HOST}/a%20b/%C3%BC/(x)/~y*!"),
    "dots in the path": lambda: signed("POST", f"http://{HOST}/a/./b/../c//d/"),
    "spaces in a header": lambda: signed(X_Amz_Meta="  a   b  c "),
    "unicode body": lambda: signed(body='{"MessageBody": "Grüße ☃"}'.encode()),
    "presigned get": lambda: signed("GET", f"http://{HOST}/?Action=ListQueues", b"", presigned_seconds=60),
    "presigned get of unicode": lambda: signed(
        "GET", f"http://{HOST}/1/q", b"", presigned_seconds=60, params={"MessageBody": "ü ~*'()"}
    ),
    "presigned post": lambda: signed("POST", f"http://{HOST}/1/q", presigned_seconds=604_800),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_botocore_signs_is_accepted(name: str) -> None:
    assert_good(GOOD[name]())


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=20),
    st.dictionaries(st.text("aAbB-._~ ü*", min_size=1, max_size=5), st.text(max_size=20), max_size=5),
    st.binary(max_size=200),
)
def test_whatever_botocore_signs_is_accepted(path: str, params: dict[str, str], body: bytes) -> None:
    assert_good(signed("POST", f"http://{HOST}/{quote(path)}", body, params=params))


def test_a_plus_sign_may_be_signed_as_it_is_or_as_the_space_it_means() -> None:
    assert_good(signed("GET", f"http://{HOST}/?MessageBody=a+b", b""))
    got, headers = arrived(signed("GET", f"http://{HOST}/?MessageBody=a%20b", b""))
    got.query = b"MessageBody=a+b"
    identify(got, headers)
    got.query = b"MessageBody=a%2Bb"
    assert refusal(got, headers).problem.field == "signature"


def test_headers_may_come_twice() -> None:
    got, headers = arrived(signed(X_Amz_Meta="a,b"))
    headers.remove((b"x-amz-meta", b"a,b"))
    headers += [(b"x-amz-meta", b"a"), (b"x-amz-meta", b"b")]
    got.headers = dict(headers)
    identify(got, headers)


def test_the_date_header_will_do() -> None:
    from email.utils import formatdate

    assert_good(signed(Date=formatdate(usegmt=True)))


def test_a_key_of_another_account_speaks_for_that_account() -> None:
    got, headers = arrived(signed(key=OTHER, region="us-west-2"))
    identify(got, headers)
    assert (got.account, got.region) == (OTHER.account, "us-west-2")


# -- what must be refused ----------------------------------------------------------------------------------------------


def _header(name: bytes, change: Callable[[bytes], bytes]) -> Callable[[Request, Headers], Headers]:
    def mutate(request: Request, headers: Headers) -> Headers:
        changed = [(each, change(value) if each == name else value) for each, value in headers]
        assert changed != headers
        return changed

    return mutate


def _set(**fields: Any) -> Callable[[Request, Headers], Headers]:
    def mutate(request: Request, headers: Headers) -> Headers:
        for field, value in fields.items():
            assert getattr(request, field) != value
            setattr(request, field, value)
        return headers

    return mutate


MUTATIONS: dict[str, Callable[[Request, Headers], Headers]] = {
    "method": _set(method="GET"),
    "path": _set(raw_path=b"/other"),
    "query": _set(query=b"Action=DeleteQueue"),
    "body": _set(body=b'{"QueueName": "others"}'),
    "no body": _set(body=b""),
    "host": _header(b"host", lambda _: b"evil.example.com"),
    "target": _header(b"x-amz-target", lambda _: b"AmazonSQS.DeleteQueue"),
    "content type": _header(b"content-type", lambda _: b"text/plain"),
    "signature": _header(b"authorization", lambda text: text[:-1] + (b"0" if text[-1:] != b"0" else b"1")),
    "shortened signature": _header(b"authorization", lambda text: text[:-1]),
    "no signature": _header(b"authorization", lambda text: text[:-64]),
    "region": _header(b"authorization", lambda text: text.replace(b"eu-central-1", b"eu-central-2")),
    "service": _header(b"authorization", lambda text: text.replace(b"/sqs/", b"/sns/")),
    "terminator": _header(b"authorization", lambda text: text.replace(b"aws4_request", b"aws5_request")),
    "fewer signed headers": _header(b"authorization", lambda text: text.replace(b"content-type;", b"")),
    "host not signed": _header(b"authorization", lambda text: text.replace(b"host;", b"")),
    "target not signed": _header(b"authorization", lambda text: text.replace(b";x-amz-target", b"")),
    "signed header missing": _header(b"authorization", lambda text: text.replace(b"host;", b"host;x-not-there;")),
    "other key": _header(b"authorization", lambda text: text.replace(b"AKIDEXAMPLE", b"AKIDOTHER")),
    "second earlier": _header(b"x-amz-date", lambda text: text[:-3] + (b"00Z" if text[-3:] != b"00Z" else b"01Z")),
    "other day": _header(b"x-amz-date", lambda text: b"19990101" + text[8:]),
    "duplicate of a signed header": lambda request, headers: [*headers, (b"x-amz-target", b"AmazonSQS.DeleteQueue")],
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_every_part_is_signed(name: str) -> None:
    got, headers = arrived(signed(**JSON))
    headers = MUTATIONS[name](got, headers)
    got.headers = dict(headers)
    assert refusal(got, headers).problem.field == "signature"


@pytest.mark.parametrize(
    "change",
    [
        lambda query: query.replace(b"ListQueues", b"CreateQueue"),
        lambda query: query + b"&QueueName=x",
        lambda query: query.replace(b"X-Amz-Expires=60", b"X-Amz-Expires=604800"),
        lambda query: query.replace(b"eu-central-1", b"eu-central-2"),
        lambda query: query[:-1] + (b"0" if query[-1:] != b"0" else b"1"),
    ],
)
def test_every_part_of_a_presigned_url_is_signed(change: Callable[[bytes], bytes]) -> None:
    got, headers = arrived(signed("GET", f"http://{HOST}/?Action=ListQueues", b"", presigned_seconds=60))
    changed = change(got.query)
    assert changed != got.query
    got.query = changed
    assert refusal(got, headers).problem.field == "signature"


def test_a_body_given_to_a_presigned_url_is_not_its_own() -> None:
    got, headers = arrived(signed("GET", body=b"", presigned_seconds=60))
    got.body = b"Action=DeleteQueue"
    assert refusal(got, headers).problem.field == "signature"


@pytest.mark.parametrize(
    ("authorization", "field"),
    [
        (None, "authorization"),
        ("", "authorization"),
        ("AWS4-HMAC-SHA256", "signature_form"),
        ("AWS4-HMAC-SHA256 Signature=" + "0" * 64, "signature_form"),
        ("AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=0", "signature_form"),
        ("AWS4-HMAC-SHA256 Credential=a/b/c/sqs/aws4_request, SignedHeaders=host", "signature_form"),
        (
            "AWS4-HMAC-SHA256 Credential=a/20240101/c/sqs/aws4_request, SignedHeaders=host, Signature=0",
            "signature_form",
        ),
        ("AWS4-ECDSA-P256-SHA256 Credential=a", "access_key"),
        ("Bearer AKIDEXAMPLE", "access_key"),
        ("Bearer AKIDEXAMPLE:", "access_key"),
        ("Bearer AKIDEXAMPLE:wrong", "access_key"),
        ("Bearer NOBODY:", "access_key"),
        (f"Bearer NOBODY:{SECRET}", "access_key"),
        ("Basic ????", "access_key"),
        ("Digest x", "access_key"),
        ("Bearer \xff:\xff", "access_key"),
    ],
)
def test_without_a_good_proof_nobody_passes(authorization: str | None, field: str) -> None:
    got, headers = arrived(AWSRequest("GET", f"http://{HOST}/"))
    if authorization is not None:
        headers = [*headers, (b"authorization", authorization.encode("latin-1"))]
        got.headers = dict(headers)
    assert refusal(got, headers).problem.field == field


def test_an_unknown_key_is_refused() -> None:
    got, headers = arrived(signed(key=Key("NOBODY", SECRET)))
    error = refusal(got, headers)
    assert (error.problem.field, str(error)) == ("access_key", "The security token included in the request is invalid.")


@pytest.mark.parametrize("pair", ["Bearer AKIDEXAMPLE:" + SECRET, "bearer  AKIDEXAMPLE:" + SECRET])
def test_the_pair_itself_will_do(pair: str) -> None:
    got, _ = arrived(AWSRequest("GET", f"http://{HOST}/"))
    headers = [(b"authorization", pair.encode())]
    got.headers = dict(headers)
    identify(got, headers)
    assert got.account == KEY.account


# -- dates ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ahead_seconds", [-890, 0, 890])
def test_a_clock_may_be_a_little_off(ahead_seconds: int) -> None:
    request = signed()
    CLOCK.ahead_seconds = ahead_seconds
    assert_good(request)


def test_a_signature_lasts_a_quarter_of_an_hour() -> None:
    got, headers = arrived(signed())
    CLOCK.ahead_seconds = 910
    error = refusal(got, headers)
    assert error.problem.field == "date"
    assert str(error).startswith("Signature expired: ")
    assert str(error).endswith(" - 15 min.)")
    CLOCK.ahead_seconds = -910
    assert str(refusal(got, headers)).startswith("Signature not yet current: ")


def test_a_presigned_url_lasts_as_long_as_it_says() -> None:
    got, headers = arrived(signed("GET", body=b"", presigned_seconds=7200))
    CLOCK.ahead_seconds = 7100
    identify(got, headers)
    CLOCK.ahead_seconds = 7300
    assert refusal(got, headers).problem.field == "date"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Amz-Expires", "0"),
        ("X-Amz-Expires", "604801"),
        ("X-Amz-Expires", "x"),
        ("X-Amz-Expires", "99999999999999999999"),
        ("X-Amz-Date", "yesterday"),
        ("X-Amz-Date", "00000101T000000Z"),
        ("X-Amz-Algorithm", "AWS4-HMAC-SHA1"),
        ("X-Amz-Credential", "a"),
    ],
)
def test_a_presigned_url_that_cannot_be_meant_is_refused(name: str, value: str) -> None:
    got, headers = arrived(signed("GET", body=b"", presigned_seconds=60))
    parts = dict(part.split("=", 1) for part in got.query.decode().split("&"))
    parts[name] = value
    got.query = "&".join(f"{each}={text}" for each, text in parts.items()).encode()
    if name == "X-Amz-Date":
        parts["X-Amz-Credential"] = f"AKIDEXAMPLE/{value[:8]}/x/sqs/aws4_request"
        got.query = "&".join(f"{each}={text}" for each, text in parts.items()).encode()
    assert refusal(got, headers).problem.field == "signature_form"
    del parts[name]
    got.query = "&".join(f"{each}={text}" for each, text in parts.items()).encode()
    assert refusal(got, headers).problem.field == "signature_form"


# -- without keys --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("access_key_id", "account"),
    [("111122223333", "111122223333"), ("test", "000000000000"), ("11112222", "000000000000")],
)
def test_without_keys_a_claim_is_believed(access_key_id: str, account: str) -> None:
    gate = Gate((), account="000000000000", region="us-east-1")
    key = Key(access_key_id, "whatever")
    for request in (signed(key=key), signed("GET", body=b"", key=key, presigned_seconds=60)):
        got, headers = arrived(request)
        gate.identify(got, headers)
        assert (got.account, got.region) == (account, "eu-central-1")


@pytest.mark.parametrize("authorization", ["", "AWS4-HMAC-SHA256 Credential=", "Bearer x", "AWS4 Credential=a/b/c/d/e"])
def test_without_keys_nothing_need_be_claimed(authorization: str) -> None:
    gate = Gate((), account="000000000000", region="us-east-1")
    got, headers = arrived(AWSRequest("GET", f"http://{HOST}/"))
    got.headers = {b"authorization": authorization.encode()}
    gate.identify(got, headers)
    assert (got.account, got.region) == ("000000000000", "us-east-1")
