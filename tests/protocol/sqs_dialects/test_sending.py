"""SendMessage: as measured on AWS; limits; MD5s."""

import hashlib

import pytest

from tests.protocol.sqs_dialects.client import Failed, SqsClient

TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~aZ09"


def text(value: str, kind: str = "String") -> dict[str, str]:
    return {"DataType": kind, "StringValue": value}


async def test_an_answer_holds_id_and_md5_and_nothing_that_does_not_apply(sqs: SqsClient) -> None:
    url = await sqs.create("q")
    answer = await sqs.send(url, "message")
    message_id = answer.pop("MessageId")
    assert answer == {"MD5OfMessageBody": "78e731027d8fd50ed642340b7c9a63b3"}
    message = await sqs.one(url)
    handle = message.pop("ReceiptHandle")
    assert handle
    assert message == {"Body": "message", "MD5OfBody": answer["MD5OfMessageBody"], "MessageId": message_id}


@pytest.mark.parametrize(
    "body", ['"&quot;&quot;\r', '{\r\n"a" : "b"}\t', "<x>&amp;</x>", "ß€𝄞\x7f\x85", " ", "null", "x" * 5000, "\ufffd"]
)
async def test_any_legal_text_arrives_as_it_was_sent(sqs: SqsClient, body: str) -> None:
    url = await sqs.create("q")
    answer = await sqs.send(url, body)
    assert answer["MD5OfMessageBody"] == hashlib.md5(body.encode()).hexdigest()
    message = await sqs.one(url)
    assert (message["Body"], message["MD5OfBody"]) == (body, answer["MD5OfMessageBody"])


@pytest.mark.parametrize("character", ["\x00", "\x01", "\x08", "\x0b", "\x0c", "\x0e", "\x1f", "\ufffe", "\uffff"])
async def test_characters_that_xml_cannot_carry_are_refused(sqs: SqsClient, character: str) -> None:
    url = await sqs.create("q")
    with pytest.raises(Failed) as failed:
        await sqs.send(url, f"a{character}b")
    assert (failed.value.code, failed.value.status) == ("InvalidMessageContents", 400)
    assert f"'#x{ord(character):X}'" in failed.value.message
    assert await sqs.counts(url) == (0, 0, 0)


async def test_an_empty_or_missing_body_is_a_missing_parameter(sqs: SqsClient) -> None:
    url = await sqs.create("q")
    for parameters in ({"MessageBody": ""}, {}):
        with pytest.raises(Failed) as failed:
            await sqs("SendMessage", QueueUrl=url, **parameters)
        assert failed.value.code == "MissingParameter"
        assert failed.value.message == "The request must contain the parameter MessageBody."
        if sqs.protocol == "json":
            assert failed.value.shape == "MissingRequiredParameterException"


async def test_exactly_the_limit_is_accepted_and_attributes_count(sqs: SqsClient) -> None:
    url = await sqs.create("q")
    attribute = {"k": text("x")}
    size = len("k") + len("String") + len("x")
    await sqs.send(url, "a" * (1_048_576 - size), MessageAttributes=attribute)
    with pytest.raises(Failed) as failed:
        await sqs.send(url, "a" * (1_048_576 - size + 1), MessageAttributes=attribute)
    assert failed.value.code == "InvalidParameterValue"
    assert (
        failed.value.message
        == "One or more parameters are invalid. Reason: Message must be shorter than 1048576 bytes."
    )


async def test_a_queue_may_have_a_smaller_limit_counted_in_bytes(sqs: SqsClient) -> None:
    url = await sqs.create("q", MaximumMessageSize="1024")
    await sqs.send(url, "ß" * 512)
    with pytest.raises(Failed, match="Message must be shorter than 1024 bytes"):
        await sqs.send(url, "ß" * 512 + "a")


async def test_md5_of_attributes_is_as_the_guide_computes_it(sqs: SqsClient) -> None:
    url = await sqs.create("q")
    for attributes, md5 in (
        ({"k": text("x")}, "a45daa70926828a2f0a1db3418e6feb4"),
        ({"MyAttribute": text("foobar")}, "adb59cd4678ea5a855436b949cd07ab6"),
        ({"timestamp": text("1493147359900", "Number")}, "235c5c510d26fb653d073faed50ae77c"),
        (
            {
                "attr1": {
                    "DataType": "Binary",
                    "BinaryValue": b"traceparent\x1e00-774062d6c37081a5a0b9b5b88e30627c-2d2482211f6489da-01",
                }
            },
            "8cbe4db156db8a94db8b801b7addb984",
        ),
    ):
        answer = await sqs.send(url, "test", MessageAttributes=attributes)
        assert answer["MD5OfMessageAttributes"] == md5
        assert "MD5OfMessageSystemAttributes" not in answer
        message = await sqs.one(url, MessageAttributeNames=["All"])
        assert (message["MessageAttributes"], message["MD5OfMessageAttributes"]) == (attributes, md5)


async def test_system_attributes_have_their_own_md5(sqs: SqsClient) -> None:
    url = await sqs.create("q")
    attributes = {"timestamp": text("1493147359900", "Number")}
    system = {"AWSTraceHeader": text(TRACE)}
    answer = await sqs.send(url, MessageAttributes=attributes, MessageSystemAttributes=system)
    assert answer["MD5OfMessageAttributes"] == "235c5c510d26fb653d073faed50ae77c"
    assert answer["MD5OfMessageSystemAttributes"] == "5ae4d5d7636402d80f4eb6d213245a88"
    message = await sqs.one(url, MessageSystemAttributeNames=["AWSTraceHeader"])
    assert message["Attributes"] == {"AWSTraceHeader": TRACE}


@pytest.mark.parametrize(
    "system",
    [
        {"Other": text("x")},
        {"AWSTraceHeader": text("x", "Number")},
        {"AWSTraceHeader": text("")},
        {"AWSTraceHeader": text("Root=1\x08")},
    ],
)
async def test_other_system_attributes_are_refused(sqs: SqsClient, system: dict[str, dict[str, str]]) -> None:
    url = await sqs.create("q")
    with pytest.raises(Failed, match="InvalidParameterValue"):
        await sqs.send(url, MessageSystemAttributes=system)


async def test_the_trace_header_of_the_request_becomes_a_system_attribute(sqs: SqsClient) -> None:
    url = await sqs.create("q")
    await sqs("SendMessage", {"X-Amzn-Trace-Id": TRACE}, QueueUrl=url, MessageBody="x")
    message = await sqs.one(url, AttributeNames=["AWSTraceHeader", "SentTimestamp"])
    assert message["Attributes"] == {"AWSTraceHeader": TRACE, "SentTimestamp": "1700000000000"}
    with pytest.raises(Failed, match="reserved for AWS X-Ray trace header and has an invalid value 'Root%3D1'"):
        await sqs("SendMessage", {"X-Amzn-Trace-Id": "Root%3D1"}, QueueUrl=url, MessageBody="x")


@pytest.mark.parametrize("name", ["attr.1øßä", "a" * 256, "A-b_c.9"])
async def test_attribute_names_that_aws_accepts(sqs: SqsClient, name: str) -> None:
    url = await sqs.create("q")
    await sqs.send(url, MessageAttributes={name: text("x")})
    assert name in (await sqs.one(url, MessageAttributeNames=["*"]))["MessageAttributes"]


@pytest.mark.parametrize(
    "attributes",
    [
        *(
            {name: text("x")}
            for name in ("aWs.x", "AMAZON.x", ".x", "x.", "a..b", "a!b", 'a"b', "§", "a(b", "a?", "a b")
        ),
        {"a" * 257: text("x")},
        {"a": text("x", "Invalid")},
        {"a": text("x", "string")},
        {"a": text("x", "StringX")},
        {"a": text("x", "")},
        {"a": {"StringValue": "x"}},
        {"a": text("1", "Number." + "L" * 256)},
        {"a": text("")},
        {"a": {"DataType": "String"}},
        {"a": {"DataType": "Binary"}},
        {"a": {"DataType": "Binary", "StringValue": "x"}},
        {"a": text("bad-\x08,\x0b")},
        {"a": text("\ufffe")},
        {"a": text("x", "String.\x08")},
        {"a": text("1", "Number.\uffff")},
        {"a": text("one", "Number")},
        {"a": text("1 ", "Number")},
        {"a": text("nan", "Number")},
        {f"a{number}": text("x") for number in range(11)},
    ],
    ids=str,
)
async def test_attributes_that_aws_refuses(sqs: SqsClient, attributes: dict[str, dict[str, str]]) -> None:
    url = await sqs.create("q")
    with pytest.raises(Failed) as failed:
        await sqs.send(url, MessageAttributes=attributes)
    assert (failed.value.code, failed.value.status) == ("InvalidParameterValue", 400)


@pytest.mark.parametrize("number", ["0", "-1", "+1.5", "1e10", ".5", "5.", "12345678901234567890.12345678901234567"])
async def test_numbers_are_kept_as_written(sqs: SqsClient, number: str) -> None:
    url = await sqs.create("q")
    await sqs.send(url, MessageAttributes={"n": text(number, "Number.decimal")})
    assert (await sqs.one(url, MessageAttributeNames=["n"]))["MessageAttributes"] == {
        "n": text(number, "Number.decimal")
    }


async def test_words_about_attributes_are_those_of_aws(sqs: SqsClient) -> None:
    url = await sqs.create("q")
    for attribute, words in (
        (text(""), "Message (user) attribute 'a' must contain a non-empty value of type 'String'."),
        (text("x", "Number"), "Can't cast the value of message (user) attribute 'a' to a number."),
        (
            text("x", "Invalid"),
            "The type of message (user) attribute 'a' is invalid. "
            "You must use only the following supported type prefixes: Binary, Number, String.",
        ),
    ):
        with pytest.raises(Failed) as failed:
            await sqs.send(url, MessageAttributes={"a": attribute})
        assert failed.value.message == words


async def test_a_delayed_message_comes_when_its_delay_is_over(sqs: SqsClient) -> None:
    url = await sqs.create("q", DelaySeconds="60")
    await sqs.send(url, "own", DelaySeconds=10)
    await sqs.send(url, "none", DelaySeconds=0)
    await sqs.send(url, "queue's")
    assert [message["Body"] for message in await sqs.receive(url)] == ["none"]
    sqs.clock.advance(10)
    assert [message["Body"] for message in await sqs.receive(url)] == ["own"]
    sqs.clock.advance(50)
    assert "queue's" in [message["Body"] for message in await sqs.receive(url)]


@pytest.mark.parametrize("delay", [-1, 901])
async def test_a_delay_is_at_most_a_quarter_of_an_hour_in_strict_mode(sqs: SqsClient, delay: int) -> None:
    url = await sqs.create("q")
    with pytest.raises(Failed) as failed:
        await sqs.send(url, DelaySeconds=delay)
    assert failed.value.message == (
        f"Value {delay} for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900."
    )
    if delay > 0:
        await sqs.like(limits="relaxed").send(url, DelaySeconds=86_400)


async def test_a_group_on_a_standard_queue_is_kept(sqs: SqsClient) -> None:
    url = await sqs.create("q")
    answer = await sqs.send(url, MessageGroupId=PUNCTUATION)
    assert "SequenceNumber" not in answer
    attributes = (await sqs.one(url, AttributeNames=["All"]))["Attributes"]
    assert attributes["MessageGroupId"] == PUNCTUATION
    assert not {"SequenceNumber", "MessageDeduplicationId"} & attributes.keys()


@pytest.mark.parametrize("value", ["", "a" * 129, "group 123", "ä", "a\x08"])
@pytest.mark.parametrize("parameter", ["MessageGroupId", "MessageDeduplicationId"])
async def test_bad_group_and_deduplication_ids_are_refused(sqs: SqsClient, parameter: str, value: str) -> None:
    url = await sqs.create("q.fifo" if parameter == "MessageDeduplicationId" else "q")
    group = {"MessageGroupId": "g"} if parameter == "MessageDeduplicationId" else {}
    with pytest.raises(Failed) as failed:
        await sqs.send(url, **group, **{parameter: value})
    shown = value if sqs.protocol == "json" else value.replace("\x08", "\ufffd")
    assert failed.value.code == "InvalidParameterValue"
    assert failed.value.message == (
        f"Value {shown} for parameter {parameter} is invalid. Reason: {parameter} can only include alphanumeric and "
        "punctuation characters. 1 to 128 in length."
    )


async def test_a_standard_queue_takes_no_deduplication_id(sqs: SqsClient) -> None:
    url = await sqs.create("q")
    with pytest.raises(Failed, match="parameter that is not valid for this queue type"):
        await sqs.send(url, MessageDeduplicationId="d")
