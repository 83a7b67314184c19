# SPDX-License-Identifier: MIT OR Apache-2.0
"""A movie whose frames carry their number, and the comparison of received frames with it."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

WIDTH, HEIGHT, RATE, FRAMES = 384, 288, 25, 250

# Where a seek goes: the frame at 4 seconds.
SEEK_SECONDS = 4
SEEK_FRAME = SEEK_SECONDS * RATE

# The number is ten squares of 16 pixels at the upper edge, the highest bit first, white for 1. A white and
# a black square before them and two after them show that they are there.
SQUARE, BITS = 16, 10
LUMA = WIDTH * HEIGHT

# Players that convert colours change samples by a few steps; another frame differs by far more.
CONVERTED_DIFFERENCE = 3.0
# Every n-th sample is compared then.
STRIDE = 61


def drawing() -> str:
    """The filters of ffmpeg that draw the frames."""
    square = f"drawbox=w={SQUARE}:h={SQUARE}:y=0:t=fill"
    filters = [f"testsrc2=size={WIDTH}x{HEIGHT}:rate={RATE}"]
    filters.append(f"drawbox=x=0:y=0:w={(BITS + 4) * SQUARE}:h={SQUARE}:color=black:t=fill")
    filters += [f"{square}:x={x * SQUARE}:color=white" for x in (0, BITS + 2)]
    for bit in range(BITS):
        x = (BITS - bit) * SQUARE + SQUARE
        filters.append(f"{square}:x={x}:color=white:enable='mod(floor(n/{1 << bit}),2)'")
    return ",".join(filters)


def number_of(luma: bytes) -> int | None:
    """The number that a picture carries; None if it has none."""
    squares = []
    for x in range(BITS + 4):
        offset = (SQUARE // 2) * WIDTH + x * SQUARE + SQUARE // 4
        samples = luma[offset : offset + SQUARE // 2]
        mean = sum(samples) / len(samples)
        if 64 <= mean <= 192:
            return None
        squares.append(mean > 128)
    if [squares[0], squares[1], *squares[-2:]] != [True, False, True, False]:
        return None
    return sum(1 << bit for bit in range(BITS) if squares[BITS + 1 - bit])


@dataclass
class Received:
    """The frames that a player has received, in order."""

    numbers: list[int] = field(default_factory=list)
    # Pictures that are no frame of the movie, or differ from it.
    damaged: int = 0
    # Why the player failed, if it did.
    problem: str = ""


class Movie:
    """The pictures of the movie."""

    def __init__(self, luma: bytes):
        self.pictures = list(cut(luma, LUMA))
        self.digests = [hashlib.md5(it).digest() for it in self.pictures]
        numbers = [number_of(it) for it in self.pictures]
        if numbers != list(range(FRAMES)):
            raise ValueError(f"the movie's frames carry the numbers {numbers}")

    def read(self, pictures: Iterator[bytes], exact: bool) -> Received:
        """Compares pictures with the movie: all samples of the luma, or roughly."""
        received = Received()
        for luma in pictures:
            number = number_of(luma)
            if number is not None and number < FRAMES and self._same(luma, number, exact):
                received.numbers.append(number)
            else:
                received.damaged += 1
        return received

    def _same(self, luma: bytes, number: int, exact: bool) -> bool:
        if exact:
            return hashlib.md5(luma).digest() == self.digests[number]
        want = self.pictures[number][::STRIDE]
        difference = sum(abs(a - b) for a, b in zip(luma[::STRIDE], want, strict=True))
        return difference <= CONVERTED_DIFFERENCE * len(want)


def cut(data: bytes, size: int) -> Iterator[bytes]:
    """The luma of raw pictures of `size` bytes each. The rest of a cut one is a picture, too."""
    for offset in range(0, len(data), size):
        yield data[offset : offset + LUMA].ljust(LUMA, b"\0")


@dataclass
class Verdict:
    """The outcome of one case."""

    # The number of frames of the movie that are missing, repeated, in wrong order or damaged. A player that
    # fails or does not end counts as one more, except in a live movie, which it must cut off.
    faults: int
    text: str


def ranges(numbers: list[int]) -> str:
    """Numbers for people, which count from 1, in short: 1, 249-250."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    texts = [f"{a + 1}" if a == b else f"{a + 1}-{b + 1}" for a, b in parts]
    return ", ".join(texts) if len(texts) <= 6 else ", ".join([*texts[:5], "…"])


def judge_whole(received: Received, first: int = 0) -> Verdict:
    """All frames from `first` to the last one must be there, once, in order. A player that seeks once it
    plays may have received a few from the start on."""
    numbers = received.numbers
    if first:
        start = next((i for i, number in enumerate(numbers) if number >= first), len(numbers))
        early = numbers[:start]
        follow = all(after == before + 1 for before, after in zip(early, early[1:]))
        if start < first // 2 and follow and all(number < first // 2 for number in early):
            numbers = numbers[start:]
    want = list(range(first, FRAMES))
    return _verdict(received, numbers, want, len(want))


def judge_live(received: Received, least: int) -> Verdict:
    """The frames must follow each other, over the movie's end too, and be at least `least`."""
    numbers = received.numbers
    start = numbers[0] if numbers else 0
    steps = [(number - before - 1) % FRAMES for before, number in zip(numbers, numbers[1:])]
    # A step back is a repeated or late frame, not a long gap.
    back = sum(step > FRAMES // 2 for step in steps)
    missing = sum(step for step in steps if step <= FRAMES // 2)
    faults = missing + back + received.damaged + max(0, least - len(numbers))
    text = f"{len(numbers)}"
    notes = []
    if missing:
        gaps = [i for i, step in enumerate(steps) if 0 < step <= FRAMES // 2]
        notes.append(f"{missing} missing after {', '.join(str(gap + 1) for gap in gaps[:5])}")
    if back:
        notes.append(f"{back} repeated or late")
    notes += _common_notes(received)
    if len(numbers) < least:
        notes.append(f"fewer than {least}")
    if not notes and start + len(numbers) > FRAMES:
        text += ", over the end"
    return Verdict(faults, text + "".join(f"; {note}" for note in notes))


def _common_notes(received: Received) -> list[str]:
    notes = [f"{received.damaged} damaged"] if received.damaged else []
    return [*notes, received.problem] if received.problem else notes


def _verdict(received: Received, numbers: list[int], want: list[int], total: int) -> Verdict:
    got = set(numbers)
    missing = [number for number in want if number not in got]
    extra = len(got - set(want))
    repeated = len(numbers) - len(got)
    ordered = all(a <= b for a, b in zip(numbers, numbers[1:]))
    faults = len(missing) + extra + repeated + received.damaged + (not ordered) + bool(received.problem)
    text = f"{total - len(missing)} of {total}"
    notes = []
    if missing and len(missing) < total:
        notes.append(f"without {ranges(missing)}")
    if repeated:
        notes.append(f"{repeated} repeated")
    if extra:
        notes.append(f"{ranges(sorted(got - set(want)))} before them")
    if not ordered:
        notes.append("not in order")
    notes += _common_notes(received)
    return Verdict(faults, text + "".join(f"; {note}" for note in notes))
