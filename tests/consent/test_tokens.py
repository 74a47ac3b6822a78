"""Tokens in links: what was issued is read back, and nothing else is."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent import tokens
from consent.tokens import Token

codes = st.from_regex(r"[a-z][a-z0-9_-]{1,49}", fullmatch=True) | st.just("*")
channels = st.sampled_from(["email", "sms", "phone", "post", "push", "web", "*"])
messages = st.none() | st.uuids().filter(lambda i: i != UUID(int=0))
issued = st.builds(Token, st.uuids(), codes, channels, messages)


@given(issued)
def test_what_was_issued_is_read_back(token):
    text = tokens.issue(token)

    assert tokens.read(text) == token
    assert len(text) <= tokens.LONGEST
    assert all(c.isalnum() or c in "-_" for c in text)


@given(issued, st.data())
def test_one_changed_bit_and_it_is_not_ours(token, data):
    text = bytearray(tokens.issue(token).encode())
    position = data.draw(st.integers(0, len(text) - 1))
    text[position] ^= 1 << data.draw(st.integers(0, 6))

    assert tokens.read(text.decode()) is None


@given(issued, st.data())
def test_a_part_of_it_is_not_ours(token, data):
    text = tokens.issue(token)

    assert tokens.read(text[: data.draw(st.integers(0, len(text) - 1))]) is None


@given(issued, st.text(min_size=1, max_size=5))
def test_nothing_may_be_added(token, more):
    assert tokens.read(tokens.issue(token) + more) is None
    assert tokens.read(more + tokens.issue(token)) is None


@given(st.text(max_size=300) | st.binary(max_size=200).map(lambda b: b.decode("latin-1")))
def test_noise_is_not_ours_and_no_error(text):
    assert tokens.read(text) is None


@given(issued, issued)
def test_the_end_of_one_does_not_seal_another(one, other):
    first, second = tokens.issue(one), tokens.issue(other)
    mixed = first[:-22] + second[-22:]

    assert tokens.read(mixed) is None or mixed in (first, second)


def test_a_token_keeps_a_list_unsubscribe_header_short():
    token = Token(UUID(int=1), "product_news", "email", UUID(int=2))

    assert len(tokens.issue(token)) <= 100


@pytest.mark.parametrize("length", [201, 100_000])
def test_an_endless_one_is_not_even_decoded(length):
    assert tokens.read("A" * length) is None
