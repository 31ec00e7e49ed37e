"""Standard MIDI files built byte by byte, the malformed ones too, which no library would write."""

import struct

END = b"\x00\xff\x2f\x00"
"""Delta time 0 and the end-of-track event."""
FURTHEST = (1 << 28) - 1
"""Longest delta time of one event."""


def quantity(value: int) -> bytes:
    """Variable-length quantity: seven bits a byte, all but the last with the high bit set."""
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.append(0x80 | value & 0x7F)
    return bytes(reversed(digits))


def event(delta: int, *data: int) -> bytes:
    """Event of raw bytes, `delta` ticks after the one before; without a status byte it is in running status."""
    return quantity(delta) + bytes(data)


def note(pitch: int = 60, ticks: int = 480, *, delta: int = 0, channel: int = 0) -> bytes:
    """Note that begins `delta` ticks after the event before and lasts `ticks`."""
    return event(delta, 0x90 | channel, pitch, 80) + event(ticks, 0x80 | channel, pitch, 0)


def control(number: int, *, delta: int = 0, channel: int = 0) -> bytes:
    """Control change of value 0."""
    return event(delta, 0xB0 | channel, number, 0)


def tempo(micros: int, *, delta: int = 0) -> bytes:
    """Tempo of `micros` microseconds to the beat from here on."""
    return quantity(delta) + b"\xff\x51\x03" + micros.to_bytes(3, "big")


def chunk(kind: bytes, data: bytes) -> bytes:
    """Chunk with its length."""
    return kind + struct.pack(">I", len(data)) + data


def midi(*tracks: bytes, form: int = 1, division: int = 480, count: int | None = None) -> bytes:
    """File of tracks, each given as its events without the end; `count` is what the header says of their number."""
    header = struct.pack(">HHH", form, len(tracks) if count is None else count, division)
    return chunk(b"MThd", header) + b"".join(chunk(b"MTrk", events + END) for events in tracks)
