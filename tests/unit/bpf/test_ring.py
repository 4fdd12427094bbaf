"""A piece of a ring buffer: which of its bytes are whole records, and which records they are."""

from __future__ import annotations

import struct

import pytest
from ansible_collections.exchange.chaos.plugins.module_utils.bpf import ring
from ansible_collections.exchange.chaos.plugins.module_utils.bpf.attribution import Book
from ansible_collections.exchange.chaos.plugins.module_utils.host.docker_socket import ListedContainer

BUSY, DISCARDED = 1 << 31, 1 << 30
RECORDS = [b"x" * 104, b"four", b"y" * 8]


def header(length: int) -> bytes:
    return struct.pack("=II", length, 0)


def test_records_joined_are_the_records_split() -> None:
    piece = ring.join(RECORDS)
    assert len(piece) % 8 == 0
    assert ring.split(piece) == RECORDS
    assert ring.count_complete(piece) == len(piece)


@pytest.mark.parametrize("cut", [1, 7, 8, 50])
def test_what_was_cut_off_is_not_whole(cut: int) -> None:
    whole, last = ring.join(RECORDS), ring.join([b"z" * 60])
    assert ring.count_complete(whole + last[: len(last) - cut]) == len(whole)


def test_a_record_that_is_being_written_and_what_came_after_wait() -> None:
    before = ring.join([b"before"])
    piece = before + header(16 | BUSY) + b"?" * 16 + ring.join([b"after"])
    assert ring.count_complete(piece) == len(before)
    assert ring.split(piece[: ring.count_complete(piece)]) == [b"before"]


def test_a_record_that_was_thrown_away_is_none() -> None:
    piece = ring.join([b"one"]) + header(12 | DISCARDED) + b"?" * 16 + ring.join([b"two"])
    assert ring.count_complete(piece) == len(piece)
    assert ring.split(piece) == [b"one", b"two"]


def test_a_book_says_afterwards_whose_what_was() -> None:
    api = ListedContainer("a" * 64, "lab-api-1", "api")
    book = Book({api.id: api}, {1 << 60: api.id}, {4711: api.id}, {4026531840: api.id})
    again = Book.from_data(book.to_data())
    assert again.owner(0, 0, 1 << 60) == again.owner(4711, 0, 0) == again.owner(0, 4026531840, 0) == api
    assert again.owner(4711, 4026531840, 7) is None, "another cgroup's process with a number of ours"
    assert again.victim(4711, 7) == api
    assert Book.from_data({}).owner(4711, 1, 1) is None
