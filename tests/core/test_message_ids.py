"""Message ids and their bytes."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.core.message_ids import to_blob, to_text, to_texts


@given(st.lists(st.uuids()))
def test_bytes_and_texts_of_uuids_are_those_of_python(uuids: list[UUID]) -> None:
    blobs = [each.bytes for each in uuids]
    assert [to_blob(str(each)) for each in uuids] == blobs
    assert [to_text(each) for each in blobs] == [str(each) for each in uuids]
    assert to_texts(b"".join(blobs)) == [str(each) for each in uuids]


@pytest.mark.parametrize(
    "text", ["", "x", "00000000-0000-7000-8000-0000000000", "g0000000-0000-7000-8000-000000000000"]
)
def test_what_is_no_uuid_has_no_bytes(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        to_blob(text)
