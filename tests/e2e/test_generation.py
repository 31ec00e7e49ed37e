"""What can be asked of POST /generate, and the forms that a piece can be had in."""

import io
import json
import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pretty_midi
import pytest

from model.config import Sampling
from model.midi import read_roll
from model.midi_writer import write_midi
from model.pianoroll import Roll
from tests import midi_files
from tests.e2e.conftest import Server
from tests.pieces import midi_file, piece

BEATS = Sampling(steps_per_beat=2)
KEYS = (21, 109)


def generate(
    server: Server, config: dict[str, Any] | None = None, accept: str = "application/json", **file: bytes
) -> httpx.Response:
    """POST /generate, as a form if there is a file."""
    headers = {"Accept": accept}
    if not file:
        return server.http.post("/generate", json=config or {}, headers=headers)
    files = {name: ("tune.mid", data) for name, data in file.items()}
    return server.http.post("/generate", data={"config": json.dumps(config or {})}, files=files, headers=headers)


def made(server: Server, config: dict[str, Any] | None = None, **file: bytes) -> dict[str, Any]:
    """The JSON of a piece."""
    response = generate(server, config, **file)
    assert response.status_code == 200, response.text
    return response.json()


def refused(response: httpx.Response, status: int = 422) -> str:
    """The detail of a problem."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    return response.json()["detail"]


def roll_of(body: dict[str, Any], keys: tuple[int, int] = KEYS) -> Roll:
    """The frames of a piece's JSON as a roll (frames, keys)."""
    roll = np.zeros((len(body["frames"]), keys[1] - keys[0]), np.bool_)
    for t, notes in enumerate(body["frames"]):
        roll[t, np.array(notes, np.int64) - keys[0]] = True
    return roll


# --- parameters -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "frames"),
    [
        ({}, 200),
        ({"length": 30}, 30),
        ({"bars": 3}, 24),
        ({"seconds": 15, "tempo": 120}, 60),
        ({"seconds": 0.001}, 1),
    ],
)
def test_the_length_is_said_in_steps_bars_or_seconds(server: Server, config: dict[str, Any], frames: int) -> None:
    body = made(server, config)
    assert body["length"] == len(body["frames"]) == frames


def test_two_lengths_are_refused(server: Server) -> None:
    assert "length" in refused(generate(server, {"length": 10, "bars": 2}))
    assert "length" in refused(generate(server, {"seconds": 10, "bars": 2}))
    assert "length" in refused(generate(server, {"bars": 10**6}))
    assert "length" in refused(generate(server, {"seconds": 999_999}))


def test_a_model_that_counts_seconds_has_no_bars_and_no_tempo(server: Server) -> None:
    config = {"recipe": "tutorial", "epochs": 1, "n_hidden": 10, "n_hidden_recurrent": 5, "dt": 0.3, "name": "clock"}
    files = [("files", ("a.mid", midi_file()))]
    job = server.http.post("/train", files=files, data={"config": json.dumps(config)}).json()
    assert server.wait_for_job(job["id"])["status"] == "succeeded"
    assert made(server, {"model": "clock", "seconds": 6})["length"] == 20
    assert "bars" in refused(generate(server, {"model": "clock", "bars": 2}))
    assert "tempo" in refused(generate(server, {"model": "clock", "tempo": 100}))


def test_a_transposed_piece_is_the_same_some_semitones_away(server: Server) -> None:
    plain = made(server, {"length": 60, "seed": 4})
    higher = made(server, {"length": 60, "seed": 4, "transpose": 5})
    assert higher["frames"] == [[note + 5 for note in notes] for notes in plain["frames"]]
    assert higher["pitch_range"] == [26, 114]
    midi = read_roll(server.http.get(higher["links"]["midi"]).content, BEATS, (26, 114))
    assert np.array_equal(midi, roll_of(higher, (26, 114)))
    for semitones in (-22, 20, 127):
        assert "-21 to 19" in refused(generate(server, {"transpose": semitones}))
    assert "transpose" in refused(generate(server, {"transpose": 128}))


def test_the_midi_file_has_the_program_and_the_tempo(server: Server) -> None:
    response = generate(server, {"length": 40, "program": 73, "tempo": 90}, "audio/midi")
    midi = pretty_midi.PrettyMIDI(io.BytesIO(response.content))
    assert [instrument.program for instrument in midi.instruments] == [73]
    assert midi.get_tempo_changes()[1][0] == pytest.approx(90, abs=0.01)
    assert "program" in refused(generate(server, {"program": 128}))


def test_only_keys_of_the_pitch_range_sound(server: Server) -> None:
    free = made(server, {"length": 80, "seed": 1})
    body = made(server, {"length": 80, "seed": 1, "pitch_range": [60, 72]})
    notes = {note for frame in body["frames"] for note in frame}
    assert notes
    assert notes <= set(range(60, 72))
    assert body["pitch_range"] == [60, 72]
    cut = [[note for note in frame if 60 <= note < 72] for frame in free["frames"]]
    assert body["frames"] != cut  # it was sampled without the others, not robbed of them
    assert made(server, {"length": 80, "seed": 1, "pitch_range": [60, 72]})["frames"] == body["frames"]
    assert "pitch_range" in refused(generate(server, {"pitch_range": [0, 21]}))
    assert "pitch_range" in refused(generate(server, {"pitch_range": [70, 60]}))


def test_there_is_one_sampler(server: Server) -> None:
    assert made(server, {"length": 5, "sampler": "tutorial"})["sampler"] == "tutorial"
    assert "sampler" in refused(generate(server, {"sampler": "magic"}))


# --- primer ---------------------------------------------------------------------------------------------------------


def test_a_primer_is_continued(server: Server) -> None:
    beginnings = [piece(1), np.roll(piece(2), -3, axis=1)]
    tunes = [write_midi(roll, step_seconds=0.25) for roll in beginnings]
    bodies = [made(server, {"length": 40, "seed": 8}, primer=tune) for tune in tunes]
    for beginning, body in zip(beginnings, bodies, strict=True):
        assert body["length"] == 32 + 40
        assert body["primer_length"] == 32
        assert np.array_equal(roll_of(body)[:32], beginning)
        midi = read_roll(server.http.get(body["links"]["midi"]).content, BEATS)
        assert np.array_equal(midi, roll_of(body)[: len(midi)])
    assert bodies[0]["frames"][32:] != bodies[1]["frames"][32:]  # what follows depends on what was heard
    assert bodies[0]["frames"][32:] != made(server, {"length": 40, "seed": 8})["frames"]
    again = made(server, {"length": 40, "seed": 8}, primer=tunes[0])
    assert again["frames"] == bodies[0]["frames"]


def test_a_primer_has_its_tempo_and_its_keys_whatever_the_model_is_moved_by(server: Server) -> None:
    slow = write_midi(piece(1), step_seconds=0.5, tempo=60)
    body = made(server, {"bars": 2, "transpose": 3, "pitch_range": [60, 80]}, primer=slow)
    assert body["tempo"] == pytest.approx(60, abs=0.01)
    assert body["length"] == 32 + 16
    assert np.array_equal(roll_of(body, (24, 112))[:32], np.pad(piece(1)[:, 3:], ((0, 0), (0, 3))))
    assert {note for frame in body["frames"][32:] for note in frame} <= set(range(60, 80))
    assert made(server, {"length": 1, "tempo": 99}, primer=slow)["tempo"] == 99


def test_several_pieces_go_on_from_one_primer(server: Server) -> None:
    body = made(server, {"length": 8, "n": 3, "seed": 1}, primer=midi_file(1))
    rolls = [roll_of(server.http.get(f"/generations/{one['id']}").json()) for one in body["pieces"]]
    assert all(np.array_equal(roll[:32], piece(1)) for roll in rolls)
    assert not np.array_equal(rolls[0], rolls[1])


# --- source ---------------------------------------------------------------------------------------------------------


def test_what_is_kept_of_a_source_stays_and_the_rest_is_sampled(server: Server) -> None:
    keep = [{"pitches": [60, 109], "steps": [0, 16]}]
    body = made(server, {"keep": keep, "seed": 5}, source=midi_file(3))
    roll, source = roll_of(body), piece(3)
    assert np.array_equal(roll[:16, 60 - 21 :], source[:16, 60 - 21 :])
    assert not np.array_equal(roll[16:], source[16:])
    assert body["keep"] == [{**keep[0], "tracks": None}]
    assert body["length"] == len(source)
    assert body["primer_length"] == 0
    midi = read_roll(server.http.get(body["links"]["midi"]).content, BEATS)
    assert np.array_equal(midi, roll[: len(midi)])
    assert made(server, {"keep": keep, "seed": 5}, source=midi_file(3))["frames"] == body["frames"]


def test_what_a_kept_track_sounds_stays_sounding(server: Server) -> None:
    tune = midi_files.note(72) + midi_files.note(74) + midi_files.note(76, 960)
    bass = midi_files.note(36, 1920, channel=1)
    body = made(server, {"keep": [{"tracks": [0]}]}, source=midi_files.midi(tune, bass))
    kept = [72, 72, 74, 74, 76, 76, 76, 76]
    assert all(note in frame for note, frame in zip(kept, body["frames"], strict=True))


def test_a_piece_whose_source_is_kept_whole_is_its_source(server: Server) -> None:
    body = made(server, {"keep": [{}], "pitch_range": [60, 62]}, source=midi_file(3))
    assert np.array_equal(roll_of(body), piece(3))


# --- files that cannot be taken -------------------------------------------------------------------------------------

TOO_LOW = midi_files.midi(midi_files.note(20))
BETWEEN_STEPS = midi_files.midi(midi_files.note(60, 10, delta=100))
FILES = {
    "outside the model's keys": (TOO_LOW, "20"),
    "no MIDI": (b"this is no music", "MThd"),
    "empty": (b"", "empty"),
    "without notes": (midi_files.midi(midi_files.tempo(500_000)), "no notes"),
    "without a note at any step": (BETWEEN_STEPS, "time steps"),
    "too long": (midi_files.midi(midi_files.note(60, 480 * 11_000)), "20,000"),
    "cut off": (midi_file()[:-40], "copy or download"),
}


@pytest.mark.parametrize("role", ["primer", "source"])
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_cannot_be_taken_is_named(server: Server, role: str, name: str) -> None:
    data, words = FILES[name]
    config = {"keep": [{}]} if role == "source" else {}
    response = generate(server, config, **{role: data})
    detail = refused(response)
    assert role in detail
    assert words in detail
    assert [refusal["file"] for refusal in response.json()["refused"]] == ["tune.mid"]


@pytest.mark.parametrize(
    ("config", "files", "field"),
    [
        ({}, {"source": midi_file()}, "keep"),
        ({"keep": []}, {"source": midi_file()}, "keep"),
        ({"keep": [{}]}, {}, "keep"),
        ({"keep": [{}]}, {"primer": midi_file()}, "keep"),
        ({"keep": [{}], "length": 5}, {"source": midi_file()}, "length"),
        ({"keep": [{}], "bars": 5}, {"source": midi_file()}, "bars"),
        ({"keep": [{}, {"steps": [40, 50]}]}, {"source": midi_file()}, "keep[1].steps"),
        ({"keep": [{"pitches": [0, 5]}]}, {"source": midi_file()}, "keep[0].pitches"),
        ({"keep": [{"tracks": [1]}]}, {"source": midi_file()}, "keep[0].tracks"),
        ({"keep": [{"colour": 1}]}, {"source": midi_file()}, "keep.0.colour"),
        ({"keep": [{}], "n": 1000, "gibbs_steps": 200}, {"source": midi_file()}, "gibbs_steps"),
        ({"length": 19_990}, {"primer": midi_file()}, "length"),
        ({}, {"primer": midi_file(), "source": midi_file()}, "primer tune.mid, source tune.mid"),
        ({}, {"tune": midi_file()}, "tune"),
    ],
)
def test_a_form_that_makes_no_sense_names_what_is_wrong(
    server: Server, config: dict[str, Any], files: dict[str, bytes], field: str
) -> None:
    assert field in refused(generate(server, config, **files))


def test_a_file_sent_as_text_is_refused(server: Server) -> None:
    assert "primer" in refused(server.http.post("/generate", files={"primer": (None, "MThd")}))


def test_a_form_may_hold_no_file(server: Server) -> None:
    response = server.http.post("/generate", files={"config": (None, '{"length": 7}')})
    assert response.status_code == 200
    assert made(server, {"length": 7})["length"] == 7


# --- forms ----------------------------------------------------------------------------------------------------------


def test_a_piece_can_be_heard(server: Server) -> None:
    response = generate(server, {"length": 40, "tempo": 120}, "audio/wav")
    assert response.status_code == 200
    assert response.headers["content-type"] == "audio/wav"
    with wave.open(io.BytesIO(response.content)) as sound:
        assert (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) == (1, 2, 22_050)
        assert sound.getnframes() == 40 * 22_050 // 4
        samples = np.frombuffer(sound.readframes(sound.getnframes()), "<i2")
    assert np.abs(samples).max() > 20_000
    assert server.http.get(f"{response.headers['location']}.wav").content == response.content


def test_a_piece_too_long_to_be_heard_is_not_made_for_it(server: Server) -> None:
    config = {"length": 4000, "gibbs_steps": 1, "tempo": 100}
    assert "audio/midi" in refused(generate(server, config, "audio/wav"), 406)
    location = generate(server, config, "audio/midi").headers["location"]
    assert "minutes" in refused(server.http.get(f"{location}.wav"), 406)


def test_several_pieces_cannot_be_heard_at_once(server: Server) -> None:
    refused(generate(server, {"n": 2, "length": 5}, "audio/wav"), 406)
    location = generate(server, {"n": 2, "length": 5}).json()["id"]
    refused(server.http.get(f"/generations/{location}.wav"), 406)
    assert server.http.get(f"/generations/{location}-1.wav").status_code == 200


def test_a_piece_has_a_likelihood_that_stays(server: Server) -> None:
    body = made(server, {"length": 100, "seed": 3})
    assert -10 < body["log_likelihood"] < 0
    assert server.http.get(f"/generations/{body['id']}").json()["log_likelihood"] == body["log_likelihood"]
    wild = made(server, {"length": 100, "seed": 3, "temperature": 3})
    assert wild["log_likelihood"] < body["log_likelihood"] - 1
    several = made(server, {"length": 100, "seed": 2, "n": 2})
    assert several["log_likelihood"] is None
    second = server.http.get(f"/generations/{several['pieces'][1]['id']}").json()
    assert second["log_likelihood"] == body["log_likelihood"]


@pytest.mark.parametrize("suffix", ["mid", "png", "wav", "zip"])
def test_every_form_is_linked(server: Server, suffix: str) -> None:
    links = made(server, {"length": 10})["links"]
    response = server.http.get(links[{"mid": "midi"}.get(suffix, suffix)])
    assert response.status_code == 200
    assert response.headers["content-disposition"].endswith(f'.{suffix}"')


def test_a_form_nobody_makes_is_406(server: Server) -> None:
    assert "audio/wav" in refused(generate(server, {"length": 5}, "audio/mpeg"), 406)


def test_the_example_of_the_docs_is_harmonised_as_they_say(server: Server, tmp_path: Path) -> None:
    tune = tmp_path / "tune.mid"
    subprocess.run([sys.executable, "examples/frere_jacques.py", str(tune)], check=True)
    keep = [{"tracks": [0]}, {"pitches": [70, 109]}]
    body = made(server, {"keep": keep, "seed": 4}, source=tune.read_bytes())
    source = read_roll(tune.read_bytes(), BEATS)
    assert np.array_equal(roll_of(body)[:, 70 - 21 :], source[:, 70 - 21 :])
    assert np.count_nonzero(roll_of(body)) > 2 * np.count_nonzero(source)  # there are chords under it
