"""What a stream of a part that moves says, and when."""

import pytest

from keyfast.core.live_stream import BEAT, EASY, LONGEST, NOTHING_MORE, Seen, Told, Word, pause, step

A, B = Seen("a", over=False), Seen("b", over=False)
BEGUN = Told(100.0, 100.0)
SHOWS_A = Told(100.0, 100.0, "a")
PART_A, PART_B, BEAT_, END = (Word.PART, "a"), (Word.PART, "b"), (Word.BEAT, ""), (Word.END, "")


@pytest.mark.parametrize(
    ("told", "seen", "after", "says", "then"),
    [
        (BEGUN, A, 0, [PART_A], SHOWS_A),
        (SHOWS_A, A, 1, [], SHOWS_A),
        (SHOWS_A, B, 1, [PART_B], Told(100.0, 101.0, "b")),
        (SHOWS_A, A, BEAT - 0.1, [], SHOWS_A),
        (SHOWS_A, A, BEAT, [BEAT_], Told(100.0, 100.0 + BEAT, "a")),
        (SHOWS_A, B, BEAT, [PART_B], Told(100.0, 100.0 + BEAT, "b")),
        (SHOWS_A, Seen("b", over=True), 1, [PART_B, END], Told(100.0, 101.0, "b")),
        (SHOWS_A, Seen("a", over=True), 1, [END], Told(100.0, 101.0, "a")),
        (SHOWS_A, NOTHING_MORE, 1, [END], Told(100.0, 101.0, "a")),
        (BEGUN, NOTHING_MORE, 0, [END], BEGUN),
        (SHOWS_A, A, LONGEST - BEAT, [BEAT_], Told(100.0, 100.0 + LONGEST - BEAT, "a")),
        (SHOWS_A, A, LONGEST, [END], Told(100.0, 100.0 + LONGEST, "a")),
        (SHOWS_A, B, LONGEST, [PART_B, END], Told(100.0, 100.0 + LONGEST, "b")),
    ],
)
def test_what_is_said(told, seen, after, says, then):
    assert step(told, seen, 100.0 + after) == (then, says)


@pytest.mark.parametrize(
    ("every", "took", "seconds"),
    [(1.0, 0.0, 1.0), (1.0, EASY, 1.0), (1.0, 2 * EASY, 2.0), (0.05, 10 * EASY, 0.5), (5.0, 60.0, BEAT)],
)
def test_what_takes_long_is_looked_at_the_more_rarely(every, took, seconds):
    assert pause(every, took) == pytest.approx(seconds)
