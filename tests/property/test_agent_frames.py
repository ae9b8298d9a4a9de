"""Frames under truncation and bit flips: an intact earlier one is found, and nothing false ever is."""

from hypothesis import given
from hypothesis import strategies as st

from keyfast.agent.frames import Frame, encode_frame, read_frames
from keyfast.agent.outcome import Answered, Refused, Unreached, read_outcome

payloads = st.lists(st.binary(max_size=200), min_size=1, max_size=6)


def written(contents: list[bytes]) -> tuple[bytes, list[Frame], list[int]]:
    frames = [Frame(number, content) for number, content in enumerate(contents, 1)]
    data, ends = b"", []
    for frame in frames:
        data += encode_frame(frame)
        ends.append(len(data))
    return data, frames, ends


@given(payloads)
def test_the_newest_frame_is_read(contents):
    data, frames, _ = written(contents)
    reading = read_frames(data)
    assert (reading.newest, reading.end, reading.damaged) == (frames[-1], len(data), False)


@given(payloads, st.data())
def test_truncation_costs_only_the_frames_it_cuts(contents, data):
    whole, frames, ends = written(contents)
    cut = data.draw(st.integers(0, len(whole)))
    reading = read_frames(whole[:cut])
    intact = [frame for frame, end in zip(frames, ends, strict=True) if end <= cut]
    assert reading.newest == (intact[-1] if intact else None)
    assert not reading.damaged


@given(payloads, st.data())
def test_a_flipped_bit_costs_only_the_frame_it_hits(contents, data):
    whole, frames, ends = written(contents)
    bit = data.draw(st.integers(0, len(whole) * 8 - 1))
    broken = bytearray(whole)
    broken[bit // 8] ^= 1 << (bit % 8)
    hit = next(number for number, end in enumerate(ends) if bit // 8 < end)
    spared = frames[:hit] + frames[hit + 1 :]
    reading = read_frames(bytes(broken))
    assert reading.newest == (spared[-1] if spared else None)


@given(st.binary(max_size=400))
def test_arbitrary_bytes_hold_no_frame(data):
    assert read_frames(data).newest is None


@given(st.binary(max_size=60), payloads)
def test_a_frame_after_garbage_is_found_and_the_garbage_told(garbage, contents):
    data, frames, _ = written(contents)
    reading = read_frames(garbage + data)
    assert reading.newest == frames[-1]
    assert reading.damaged is bool(garbage)


@given(
    st.integers(100, 599),
    st.dictionaries(st.sampled_from(["dpop-nonce", "retry-after"]), st.text(max_size=600)),
    st.binary(max_size=300),
)
def test_any_http_answer_is_read_as_one_of_three_outcomes(status, headers, body):
    outcome = read_outcome(status, headers, body)
    assert isinstance(outcome, Answered | Refused | Unreached)
    assert isinstance(outcome, Answered) == (status in (200, 201))
