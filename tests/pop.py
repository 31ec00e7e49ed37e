"""Pop songs for tests: drums, bass, chords and a tune, each on a track of its own, in any key and tempo."""

import io

import numpy as np
import pretty_midi

PROGRESSIONS = ((0, 7, 9, 5), (9, 5, 0, 7), (0, 9, 5, 7))
"""Roots of four bars, in semitones over the tonic; those on 9 are minor."""
SCALE = (0, 2, 4, 7, 9, 12)
KICK, SNARE, HAT = 36, 38, 42


def song(seed: int, bars: int = 16) -> bytes:
    """A MIDI file."""
    random = np.random.default_rng(seed)
    beat = 60 / random.uniform(80, 140)
    tonic = 60 + int(random.integers(-6, 6))
    midi = pretty_midi.PrettyMIDI(initial_tempo=60 / beat)
    drums = pretty_midi.Instrument(0, is_drum=True, name="drums")
    bass, chords, tune = (pretty_midi.Instrument(program) for program in (33, 0, 73))

    def play(track: pretty_midi.Instrument, pitch: int, start: float, beats: float) -> None:
        track.notes.append(pretty_midi.Note(90, pitch, start * beat, (start + beats) * beat))

    progression = PROGRESSIONS[seed % len(PROGRESSIONS)]
    for bar in range(bars):
        root = tonic + progression[bar % 4]
        third = 3 if progression[bar % 4] == 9 else 4
        for quarter in range(4):
            at = 4 * bar + quarter
            play(drums, SNARE if quarter % 2 else KICK, at, 0.25)
            play(drums, HAT, at, 0.25)
            play(drums, HAT, at + 0.5, 0.25)
            play(bass, root - 24, at, 1)
            if random.random() < 0.8:
                play(tune, tonic + 12 + int(random.choice(SCALE)), at, 1)
        for step in (0, third, 7):
            play(chords, root - 12 + step, 4 * bar, 4)
    midi.instruments += [drums, bass, chords, tune]
    file = io.BytesIO()
    midi.write(file)
    return file.getvalue()
