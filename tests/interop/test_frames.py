# SPDX-License-Identifier: MIT OR Apache-2.0
"""The judging of frames, and the tables. Run by the test `interop` of the workspace."""

import tempfile
import unittest
from pathlib import Path

import frames
from frames import BITS, FRAMES, HEIGHT, LUMA, SQUARE, WIDTH, Movie, Received, judge_live, judge_whole
from report import replace, row, table

ALL = list(range(FRAMES))


def picture(number: int, sample: int = 0) -> bytes:
    """A picture that carries a number over an even area."""
    bits = [number >> bit & 1 for bit in reversed(range(BITS))]
    line = b"".join(bytes([255 * bit]) * SQUARE for bit in [1, 0, *bits, 1, 0])
    line = line.ljust(WIDTH, bytes([sample]))
    return line * SQUARE + bytes([sample]) * (WIDTH * (HEIGHT - SQUARE))


class Frames(unittest.TestCase):
    def test_pictures_carry_their_number(self) -> None:
        for number in (0, 1, 2, 511, 512, 1023):
            self.assertEqual(frames.number_of(picture(number)), number)
        rows = {"grey": bytes([128]) * LUMA, "black": bytes(LUMA), "white": bytes([255]) * LUMA}
        for name, luma in rows.items():
            self.assertIsNone(frames.number_of(luma), name)

    def test_pictures_are_compared_with_the_movie(self) -> None:
        movie = Movie(b"".join(picture(number, 100) for number in ALL))
        got = [picture(0, 100), picture(1, 102), picture(2, 140), bytes(LUMA), picture(FRAMES, 100)]
        self.assertEqual(movie.read(iter(got), exact=True), Received([0], 4))
        self.assertEqual(movie.read(iter(got), exact=False), Received([0, 1], 3))
        with self.assertRaises(ValueError):
            Movie(b"".join(picture(number, 100) for number in ALL[1:]))

    def test_a_cut_picture_is_one(self) -> None:
        sizes = [len(it) for it in frames.cut(bytes(LUMA + 1), LUMA)]
        self.assertEqual(sizes, [LUMA, LUMA])

    def test_whole_movies(self) -> None:
        rows: list[tuple[str, Received, int, int, str]] = [
            ("all", Received(ALL), 0, 0, "250 of 250"),
            ("nothing", Received(), 0, 250, "0 of 250"),
            ("failed", Received([], 0, "exit code 1"), 0, 251, "0 of 250; exit code 1"),
            ("first and last", Received(ALL[1:-1]), 0, 2, "248 of 250; without 1, 250"),
            ("a range", Received([*ALL[:9], *ALL[12:]]), 0, 3, "247 of 250; without 10-12"),
            ("repeated", Received([0, *ALL]), 0, 1, "250 of 250; 1 repeated"),
            ("order", Received([1, 0, *ALL[2:]]), 0, 1, "250 of 250; not in order"),
            ("damaged", Received(ALL[:-1], 1), 0, 2, "249 of 250; without 250; 1 damaged"),
            ("many gaps", Received(ALL[::2]), 0, 125, "125 of 250; without 2, 4, 6, 8, 10, …"),
            ("seek", Received(ALL[100:]), 100, 0, "150 of 150"),
            ("seek after a start", Received([0, 1, 2, *ALL[100:]]), 100, 0, "150 of 150"),
            ("seek after the third frame", Received([1, 2, *ALL[100:]]), 100, 0, "150 of 150"),
            ("seek and a gap", Received([1, 3, *ALL[100:]]), 100, 2, "150 of 150; 2, 4 before them"),
            ("seek too far", Received(ALL[101:]), 100, 1, "149 of 150; without 101"),
            ("no seek", Received(ALL), 100, 100, "150 of 150; 1-100 before them"),
            ("seek too early", Received(ALL[99:]), 100, 1, "150 of 150; 100 before them"),
        ]
        for name, received, first, faults, text in rows:
            verdict = judge_whole(received, first)
            self.assertEqual((verdict.faults, verdict.text), (faults, text), name)

    def test_live_movies(self) -> None:
        rows: list[tuple[str, Received, int, str]] = [
            ("good", Received(ALL[20:140]), 0, "120"),
            ("over the end", Received([*ALL[200:], *ALL[:70]]), 0, "120, over the end"),
            ("a gap", Received([*ALL[20:60], *ALL[62:142]]), 2, "120; 2 missing after 40"),
            ("a repetition", Received([*ALL[20:60], *ALL[59:140]]), 1, "121; 1 repeated or late"),
            ("few", Received(ALL[20:119]), 1, "99; fewer than 100"),
            ("none", Received(), 100, "0; fewer than 100"),
        ]
        for name, received, faults, text in rows:
            verdict = judge_live(received, 100)
            self.assertEqual((verdict.faults, verdict.text), (faults, text), name)


class Tables(unittest.TestCase):
    def test_rows_that_did_not_run_stay(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / "page.md"
            page.write_text("before\n<!-- table plugin -->\n<!-- end of table plugin -->\nafter\n")
            order = ["a", "b"]
            replace(page, "plugin", [row("b", "1", "2026-01-01", ["good"])], order)
            replace(page, "plugin", [row("a", "2", "2026-01-02", ["bad"])], order)
            replace(page, "plugin", [row("b", "3", "2026-01-03", ["better"])], order)
            rows = [row("a", "2", "2026-01-02", ["bad"]), row("b", "3", "2026-01-03", ["better"])]
            lines = ["before", "<!-- table plugin -->", "", *table("plugin", rows), ""]
            lines += ["<!-- end of table plugin -->", "after", ""]
            self.assertEqual(page.read_text(), "\n".join(lines))


if __name__ == "__main__":
    unittest.main()
