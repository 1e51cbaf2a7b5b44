"""Receipt handles: what goes in comes out, and nothing else is taken for one."""

import base64
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.errors import ReceiptHandleInvalid
from penstock.core.receipts import (
    TOKEN_BYTES,
    Receipt,
    decode_receipt,
    decode_receipts,
    encode_receipt,
    encode_receipts,
)

receipts = st.builds(
    Receipt,
    sequence_number=st.integers(0, 2**64 - 1),
    token=st.binary(min_size=TOKEN_BYTES, max_size=TOKEN_BYTES),
    shard=st.integers(0, 2**16 - 1),
    epoch=st.integers(0, 2**24 - 1),
)
TOKEN = bytes(range(TOKEN_BYTES))


@given(queue=st.text(), receipt=receipts)
def test_a_receipt_comes_back_as_it_was(queue: str, receipt: Receipt) -> None:
    handle = encode_receipt(queue, receipt)
    assert len(handle) == 40
    assert handle.isascii()
    assert not set("+/=") & set(handle)
    assert decode_receipt(queue, handle) == receipt


@given(queue=st.text(), given=st.lists(st.tuples(st.integers(0, 2**64 - 1), st.binary(min_size=12, max_size=12))))
def test_several_handles_are_each_what_it_is_alone(queue: str, given: list[tuple[int, bytes]]) -> None:
    alone = [encode_receipt(queue, Receipt(number, token)) for number, token in given]
    assert encode_receipts(queue, given) == alone


def test_the_form_of_receipts_does_not_change() -> None:
    handle = encode_receipt("orders", Receipt(7, TOKEN, shard=1, epoch=2))
    assert handle == "AQABAAAC5S_97gAAAAAAAAAHAAECAwQFBgcICQoL"


@given(st.text())
def test_any_text_is_refused_or_is_a_receipt(text: str) -> None:
    with suppress(ReceiptHandleInvalid):
        assert encode_receipt("q", decode_receipt("q", text)) == text


@given(st.text("abcXYZ019-_+/=", min_size=40, max_size=40))
def test_no_two_texts_are_the_same_receipt(text: str) -> None:
    text = encode_receipt("q", Receipt(1, TOKEN))[:12] + text[12:]
    with suppress(ReceiptHandleInvalid):
        assert encode_receipt("q", decode_receipt("q", text)) == text


@pytest.mark.parametrize(
    "spoil",
    [
        lambda handle: "",
        lambda handle: handle[:-1],
        lambda handle: handle[:-4],
        lambda handle: handle + "AAAA",
        lambda handle: handle + "=",
        lambda handle: " " + handle,
        lambda handle: handle + "\n",
        lambda handle: handle[:20] + "\n" + handle[20:],
        lambda handle: handle[:-1] + "ä",
        lambda handle: handle[:-1] + "\udcff",
        lambda handle: handle[:-3] + "+/=",
        lambda handle: "Ag" + handle[2:],
        lambda handle: base64.urlsafe_b64encode(b"\0" * 30).decode(),
        lambda handle: "x" * 100_000,
    ],
)
def test_a_spoilt_receipt_is_refused(spoil) -> None:  # type: ignore[no-untyped-def]
    handle = encode_receipt("q", Receipt(1, TOKEN))
    with pytest.raises(ReceiptHandleInvalid) as refused:
        decode_receipt("q", spoil(handle))
    assert len(str(refused.value)) < 400
    assert (refused.value.problem.field, refused.value.code) == ("receipt_handle", "receipt_handle_invalid")


def test_a_receipt_of_another_queue_is_refused() -> None:
    with pytest.raises(ReceiptHandleInvalid):
        decode_receipt("r", encode_receipt("q", Receipt(1, TOKEN)))


@given(queue=st.text(), given=st.lists(receipts, max_size=12, unique_by=lambda each: each.sequence_number))
def test_several_receipts_are_each_what_it_is_alone(queue: str, given: list[Receipt]) -> None:
    assert decode_receipts(queue, [encode_receipt(queue, each) for each in given]) == given


@pytest.mark.parametrize(
    "spoilt", ["", "x" * 40, "=" * 40, "A" * 39 + "=", "A" * 38 + "==", "\n" * 40, "A" * 80, "\udcff" * 40]
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_spoilt_receipt_among_others_is_refused(spoilt: str, place: int) -> None:
    handles = [encode_receipt("q", Receipt(number, TOKEN)) for number in (1, 2)]
    with pytest.raises(ReceiptHandleInvalid):
        decode_receipts("q", [*handles[:place], spoilt, *handles[place:]])
