# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of the domain name system is needed here, as bytes: a question, an answer's code, and a packet that carries one.

Sources: RFC 1035, 4.1 (messages); RFC 768, RFC 791 (UDP in IPv4). Pure, and wary: anybody may send such a packet.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

from ....common import clock

#: The engine's own resolver, inside each container's network namespace, and the port that is asked.
RESOLVER, PORT = "127.0.0.11", 53
#: Codes of an answer by number, as people write them.
CODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}
SERVFAIL = 2
TYPES = {1: "A", 28: "AAAA", 12: "PTR", 33: "SRV"}
#: Ids of questions that we ask ourselves begin with this byte.
OURS = 0xC4
_HEAD = struct.Struct("!HHHHHH")
_RESPONSE, _RECURSION, _AVAILABLE, _CODE = 0x8000, 0x0100, 0x0080, 0x000F
_IPV4, _UDP, _HEADER_WORDS, _WORD = 4, 17, 0x0F, 4
_UDP_HEAD = 8
_LABEL_MAX, _NAME_MAX = 63, 255
_TTL = 64


@dataclass(frozen=True)
class Message:
    """A question or an answer of one name. ``code``: of an answer; ``question``: its bytes, as they came."""

    id: int
    response: bool
    code: int
    answers: int
    name: str
    type: int
    question: bytes

    @property
    def ours(self) -> bool:
        """True for a question that we asked ourselves, or its answer."""
        return self.id >> 8 == OURS

    @property
    def code_name(self) -> str:
        """Return the answer's code as people write it."""
        return CODES.get(self.code, str(self.code))


@dataclass(frozen=True)
class Datagram:
    """A UDP packet between two IPv4 addresses."""

    source: str
    source_port: int
    destination: str
    destination_port: int
    data: bytes


def build_question(number: int, name: str, kind: int = 1) -> bytes:
    """Return a question of one name, to be answered recursively."""
    labels = [label.encode("idna") if label else b"" for label in name.rstrip(".").split(".")]
    encoded = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    return _HEAD.pack(number, _RECURSION, 1, 0, 0, 0) + encoded + struct.pack("!HH", kind, 1)


def build_refusal(asked: Message, code: int = SERVFAIL) -> bytes:
    """Return the answer that says nothing but a code."""
    return _HEAD.pack(asked.id, _RESPONSE | _RECURSION | _AVAILABLE | code, 1, 0, 0, 0) + asked.question


def parse_message(data: bytes) -> Message | None:
    """Return what a message says of its first name; None for what is no message of one question."""
    if len(data) < _HEAD.size:
        return None
    number, flags, questions, answers, _authority, _more = _HEAD.unpack_from(data)
    if questions != 1:
        return None
    labels, at = [], _HEAD.size
    while at < len(data) and data[at]:
        length = data[at]
        if length > _LABEL_MAX or at - _HEAD.size > _NAME_MAX:
            return None
        labels.append(data[at + 1 : at + 1 + length].decode("ascii", "replace"))
        at += 1 + length
    if at + 5 > len(data):
        return None
    kind = int.from_bytes(data[at + 1 : at + 3], "big")
    name = "".join(one if one.isprintable() else "?" for one in ".".join(labels)).lower()
    return Message(
        number, bool(flags & _RESPONSE), flags & _CODE, answers, name, kind, data[_HEAD.size : at + 5]
    )


def parse_packet(packet: bytes) -> Datagram | None:
    """Return the UDP that an IPv4 packet carries, None for any other packet or a fragment."""
    if len(packet) < 20 or packet[0] >> 4 != _IPV4 or packet[9] != _UDP:
        return None
    head = (packet[0] & _HEADER_WORDS) * _WORD
    if int.from_bytes(packet[6:8], "big") & 0x3FFF or len(packet) < head + _UDP_HEAD:
        return None
    source_port, destination_port, length, _sum = struct.unpack_from("!HHHH", packet, head)
    return Datagram(
        socket.inet_ntoa(packet[12:16]), source_port, socket.inet_ntoa(packet[16:20]), destination_port,
        packet[head + _UDP_HEAD : head + length],
    )  # fmt: skip


def build_packet(datagram: Datagram) -> bytes:
    """Return a UDP packet as a raw socket sends it: the kernel fills in the sum of the IP header, UDP goes without."""
    length = _UDP_HEAD + len(datagram.data)
    ip = struct.pack(
        "!BBHHHBBH4s4s", _IPV4 << 4 | 5, 0, 20 + length, 0, 0, _TTL, _UDP, 0,
        socket.inet_aton(datagram.source), socket.inet_aton(datagram.destination),
    )  # fmt: skip
    udp = struct.pack("!HHHH", datagram.source_port, datagram.destination_port, length, 0)
    return ip + udp + datagram.data


def ask_resolver(name: str, timeout: float) -> dict[str, object]:
    """Ask the engine's resolver where this process is: {code, answers, seconds}; no code where no answer came."""
    began = clock.read()
    found: dict[str, object] = {"code": "", "answers": 0}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(timeout)
        try:
            asking.connect((RESOLVER, PORT))
            asking.send(build_question(OURS << 8 | int(began * 1000) & 0xFF, name))
            answer = parse_message(asking.recv(4096))
        except OSError:
            answer = None
    if answer is not None:
        found = {"code": answer.code_name, "answers": answer.answers}
    return {**found, "seconds": clock.read() - began}
