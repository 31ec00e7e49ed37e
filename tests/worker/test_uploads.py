import io
import resource
import subprocess
import sys
import tempfile
import time
import tracemalloc
import zipfile
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pytest

from model.overview import Overview
from tests.midi_files import midi, note, tempo
from worker import uploads
from worker.errors import StoreError, UploadError
from worker.settings import Settings
from worker.uploads import Refusal, read_pack, read_upload

SONG, OTHER, DRUMS = midi(note(60)), midi(note(64)), midi(note(36, channel=9))


def zip_of(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


@dataclass(frozen=True)
class Read:
    """What an upload came to, once its temporary file is gone."""

    pieces: list[tuple[str, bytes]]
    refused: list[Refusal]
    totals: Overview
    digest: str
    pack: bytes


def upload(files: dict[str, bytes], **limits: int) -> Read:
    with read_upload([(name, io.BytesIO(data)) for name, data in files.items()], Settings(**limits)) as result:
        pack = io.BytesIO()
        result.pack(pack)
        pieces = [(piece.name, result.data(piece)) for piece in result.pieces]
        return Read(pieces, result.refused, result.overview, result.digest(), pack.getvalue())


def unpacked(pack: bytes) -> list[tuple[str, bytes]]:
    return list(read_pack(io.BytesIO(pack)))


def names(result: Read) -> list[str]:
    return [name for name, _ in result.pieces]


def refusals(result: Read) -> dict[str, str]:
    return {refusal.file: refusal.reason for refusal in result.refused}


def test_files_and_zips_are_read_in_order_whatever_the_case_of_their_suffix():
    third = midi(note(67))
    result = upload({"a.MID": SONG, "b.Zip": zip_of({"folder/c.midi": OTHER, "folder/": b""}), "d.mid": third})
    assert names(result) == ["a.MID", "folder/c.midi", "d.mid"]
    assert [data for _, data in result.pieces] == [SONG, OTHER, third]
    assert result.refused == []


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.txt", b"hello", "does not end in .mid"),
        ("", SONG, "does not end in .mid"),
        ("a.mid", b"hello", "not a MIDI file"),
        ("a.mid", b"", "empty"),
        ("a.mid", zip_of({"b.mid": OTHER}), "not a MIDI file"),
        ("a.mid", bytes(9 << 20), "larger than 8 MiB"),
        ("a.mid", DRUMS, "no notes but drums"),
        ("a.zip", b"hello", "cannot be read"),
        ("a.zip", zip_of({"b.mid": OTHER})[:-10], "cannot be read"),
        ("a.zip", zip_of({}), "holds no .mid files"),
        ("a.zip", zip_of({"readme.txt": b"hello", "b.zip": zip_of({"b.mid": OTHER})}), "holds no .mid files"),
        ("a.zip", zip_of({"__MACOSX/._b.mid": b"x", ".hidden.mid": b"x"}), "holds no .mid files"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_and_the_rest_is_used(name, data, words):
    result = upload({name: data, "good.mid": SONG})
    assert names(result) == ["good.mid"]
    assert list(refusals(result)) == [name or "unnamed"]
    assert words in refusals(result)[name or "unnamed"]


@pytest.mark.parametrize(
    ("member", "data", "words"),
    [
        ("readme.txt", b"hello", "does not end in .mid"),
        ("inner.zip", zip_of({"b.mid": OTHER}), "zip inside a zip"),
        ("../evil.mid", OTHER, "leads out of the zip"),
        ("a/../../evil.mid", OTHER, "leads out of the zip"),
        ("a\\..\\evil.mid", OTHER, "leads out of the zip"),
        ("/etc/evil.mid", OTHER, "leads out of the zip"),
        ("C:\\evil.mid", OTHER, "leads out of the zip"),
        ("bad.mid", b"hello", "not a MIDI file"),
        ("bomb.mid", bytes(64 << 20), "larger than 8 MiB"),
    ],
)
def test_a_member_that_cannot_be_used_is_named_and_the_rest_is_used(member, data, words):
    result = upload({"a.zip": zip_of({member: data, "good.mid": SONG})})
    assert names(result) == ["good.mid"]
    assert list(refusals(result)) == [member]
    assert words in refusals(result)[member]


def test_what_operating_systems_leave_in_zips_is_passed_over_in_silence():
    result = upload({"a.zip": zip_of({"__MACOSX/x/._a.mid": b"x", "x/.DS_Store": b"x", "x/": b"", "x/a.mid": SONG})})
    assert names(result) == ["x/a.mid"]
    assert result.refused == []


def test_encrypted_members_are_refused():
    raw = bytearray(zip_of({"a.mid": SONG, "b.mid": OTHER}))
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        raw[raw.find(signature) + flags] |= 1
    result = upload({"a.zip": bytes(raw)})
    assert names(result) == ["b.mid"]
    assert "encrypted" in refusals(result)["a.mid"]


def test_uncommon_compression_is_refused():
    with pytest.raises(UploadError) as caught:
        upload({"a.zip": zip_of({"a.mid": SONG}, zipfile.ZIP_LZMA)})
    assert "uncommon" in caught.value.refused[0]["reason"]


def test_a_member_damaged_inside_the_zip_is_named():
    raw = bytearray(zip_of({"a.mid": SONG, "b.mid": OTHER}, zipfile.ZIP_STORED))
    raw[raw.find(b"MThd") + 30] ^= 0xFF
    result = upload({"a.zip": bytes(raw)})
    assert names(result) == ["b.mid"]
    assert "damaged" in refusals(result)["a.mid"]


def test_unpacked_bytes_are_counted_whatever_the_headers_say_and_reading_stops_there():
    members = {f"{index}.mid": SONG + bytes(1000 + index) for index in range(9)}
    result = upload({"a.zip": zip_of(members), "b.mid": OTHER}, max_unpacked_bytes=4000)
    assert names(result) == ["0.mid", "1.mid", "2.mid"]
    assert list(refusals(result)) == ["a.zip"]
    assert "unpacks to more than" in refusals(result)["a.zip"]


def test_more_midi_files_than_allowed_are_not_read():
    result = upload({f"{index}.mid": midi(note(60 + index)) for index in range(5)}, max_files=3)
    assert names(result) == ["0.mid", "1.mid", "2.mid"]
    assert "more than 3 MIDI files" in refusals(result)["3.mid"]


def test_a_zip_of_very_many_entries_is_refused_before_they_are_listed():
    crowd = zip_of({f"{index}.txt": b"" for index in range(50)} | {"a.mid": SONG})
    result = upload({"crowd.zip": crowd, "b.mid": OTHER}, max_files=10)
    assert names(result) == ["b.mid"]
    assert "more than 40 entries" in refusals(result)["crowd.zip"]


def test_a_piece_that_comes_twice_counts_twice():
    result = upload({"a.mid": SONG, "b.mid": SONG, "c.zip": zip_of({"d.mid": SONG, "e.mid": OTHER})})
    assert names(result) == ["a.mid", "b.mid", "d.mid", "e.mid"]
    assert result.refused == []


def test_names_are_safe_to_show():
    bidi_override = "\u202e"
    result = upload({f"a\n\x00\x1b[31m{bidi_override}b.mid": SONG, "x" * 500 + ".mid": OTHER})
    assert names(result)[0] == "a[31mb.mid"
    assert len(names(result)[1]) == 200
    assert names(result)[1].endswith("x.mid")


def test_no_damage_to_a_zip_raises_anything_but_an_upload_error():
    whole, chance = zip_of({f"{index}.mid": midi(note(60 + index)) for index in range(3)}), np.random.default_rng(1)
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(3):
            damaged[chance.integers(len(damaged))] = chance.integers(256)
        with suppress(UploadError):
            upload({"a.zip": bytes(damaged)})


def test_an_entry_without_a_name_is_passed_over():
    nameless = zip_of({"x": b"", "a.mid": SONG}).replace(b"x", b"\0")
    assert names(upload({"a.zip": nameless})) == ["a.mid"]


def test_an_upload_without_files_is_an_error():
    with pytest.raises(UploadError, match="no files"):
        upload({})


def test_an_upload_without_usable_files_is_an_error_that_names_each_with_its_reason():
    with pytest.raises(UploadError, match="none of the files") as caught:
        upload({"a.txt": b"hello", "b.mid": b"hello"})
    assert [set(refusal) for refusal in caught.value.refused] == [{"file", "reason"}] * 2
    assert [refusal["file"] for refusal in caught.value.refused] == ["a.txt", "b.mid"]


def test_the_digest_depends_on_contents_only():
    one = upload({"a.mid": SONG, "b.mid": OTHER})
    two = upload({"x.zip": zip_of({"other/name.mid": OTHER, "z.mid": SONG})})
    assert one.digest == two.digest
    assert len(one.digest) == 64
    assert one.digest != upload({"a.mid": SONG}).digest


def test_packed_pieces_come_back_in_an_order_that_is_not_the_uploads():
    one = upload({"a.mid": SONG, "folder/b.mid": OTHER})
    two = upload({"folder/b.mid": OTHER, "a.mid": SONG})
    assert one.pack == two.pack
    assert sorted(unpacked(one.pack)) == [("a.mid", SONG), ("folder/b.mid", OTHER)]


def test_pieces_of_one_name_are_packed_side_by_side():
    result = upload({"1.zip": zip_of({"a.mid": SONG}), "2.zip": zip_of({"a.mid": OTHER})})
    assert {data for _, data in unpacked(result.pack)} == {SONG, OTHER}


def test_a_damaged_pack_is_a_store_error():
    with pytest.raises(StoreError, match="damaged"):
        unpacked(b"hello")


def test_totals_are_of_all_pieces():
    slow = midi(tempo(1_000_000) + note(60))
    totals = upload({"a.mid": SONG, "b.mid": slow, "c.mid": slow, "bad.mid": b"hello"}).totals
    assert (totals.notes, totals.beats, totals.seconds, totals.tempo) == (3, 3.0, 2.5, 60.0)


def test_pieces_that_do_not_fit_on_the_disk_are_not_the_files_fault(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(uploads, "SPOOLED_BYTES", 1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(StoreError, match="cannot be kept"):
            upload({"a.zip": zip_of({f"{index}.mid": SONG + bytes(4000) for index in range(9)})})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_memory_does_not_grow_with_the_bytes_of_an_upload():
    large = ((f"{index}.mid", io.BytesIO(SONG + bytes([index]) * (1 << 20))) for index in range(100))
    tracemalloc.start()
    with read_upload(large, Settings()) as result, tempfile.TemporaryFile() as file:
        result.pack(file)
        assert sum(len(data) for _, data in read_pack(file)) > 100 << 20
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 24 << 20


def test_hundreds_of_files_are_read_in_well_under_a_second():
    song = [midi(note(21 + index % 80) * 200 + note(40 + index // 80)) for index in range(683)]
    archive = zip_of({f"{index}.mid": data for index, data in enumerate(song)})
    begun = time.process_time()
    assert len(upload({"a.zip": archive}).pieces) == 683
    assert time.process_time() - begun < 1


def test_reading_uploads_needs_no_torch():
    script = "import sys, worker.uploads; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_an_upload_of_very_many_wrong_files_is_not_read_to_its_end():
    result = upload({"a.mid": SONG} | {f"{index}.txt": b"" for index in range(3_000)})
    assert names(result) == ["a.mid"]
    assert len(result.refused) == 1_001
    assert "1,000 files were refused" in result.refused[-1].reason
