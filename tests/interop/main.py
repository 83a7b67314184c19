# SPDX-License-Identifier: MIT OR Apache-2.0
"""Judges players of Debian unstable against our server; scripts/interop starts this.

Python and not Rust: this starts other programs and compares their files, needs no build, and its scripts
for OpenCV and PyAV are Python in any case. It uses the standard library only.
"""

import argparse
import datetime
import os
import signal
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from frames import FRAMES, HEIGHT, LUMA, RATE, SEEK_FRAME, WIDTH, Movie, Received, Verdict
from frames import cut, drawing, judge_live, judge_whole
from peers import LIVE_SECONDS, PEERS, Peer, Play, written_file
from report import COLUMNS, REFERENCE_COLUMNS, replace, row, table
from root import PROGRAMS, SCRIPTS, WORK, Root, RootError, leave_network

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
PAGE = PROJECT / "docs/interop.md"
PLUGIN = "plugin"
PLUGIN_NAME = "our plugin, built for GStreamer 1.22"
REFERENCE = "127.0.0.1:8555"

# Seconds that a player may take in addition to the movie, and to end when asked to.
EXTRA, GRACE = 20, 5
# Seconds for what is no player.
TOOL_LIMIT = 120

HELP = """\
examples:
  scripts/interop                       all players; rewrites the tables of docs/interop.md
  scripts/interop openrtsp vlc-record   only these; replaces their rows
  scripts/interop --no-page mpv         prints the tables, leaves docs/interop.md as it is
  scripts/interop --update              first updates the root to what unstable has now

The root (about 1.6 GB) is made at the first run, by debootstrap from the Debian archive that this machine's
apt uses, and kept. Players run in it as an ordinary user, in a network that has only loopback.

exit codes: 0 all as expected; 1 a row is worse than tests/interop/known.toml expects; 2 wrong usage, not
root, or no root can be made; 130 interrupted
"""


def say(text: str) -> None:
    """Reports progress."""
    print(f"==> {text}", file=sys.stderr, flush=True)


def arguments() -> argparse.Namespace:
    """Reads the command line."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    parser = argparse.ArgumentParser(
        prog="scripts/interop",
        description="Plays our server's mounts in the players of Debian unstable, and judges each one by "
        "the frames that it receives.",
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("peers", nargs="*", metavar="PEER", help="players to run (default: all; see --list)")
    parser.add_argument(
        "--cache", type=Path, default=Path(base) / "mjpeg-rtsp-interop", metavar="DIR",
        help="where the root and the logs are kept (default: $XDG_CACHE_HOME/mjpeg-rtsp-interop)",
    )  # fmt: skip
    parser.add_argument(
        "--programs", type=Path, default=PROJECT / "target/release", metavar="DIR",
        help="the folder of mjpeg-rtsp-server and libgstmjpegfile.so (default: target/release)",
    )  # fmt: skip
    parser.add_argument("--jobs", type=int, default=3, metavar="N", help="players at a time (default: 3)")
    parser.add_argument("--update", action="store_true", help="update the packages of the root first")
    parser.add_argument("--no-page", action="store_true", help="do not rewrite docs/interop.md")
    parser.add_argument("--list", action="store_true", help="list the players and exit")
    options = parser.parse_args()
    known = {PLUGIN, *(peer.key for peer in PEERS)}
    if options.list:
        print(f"{PLUGIN:12} {PLUGIN_NAME}", *(f"{it.key:12} {it.name}" for it in PEERS), sep="\n")
        sys.exit(0)
    unknown = [name for name in options.peers if name not in known]
    if unknown:
        parser.error(f"unknown player {unknown[0]!r}; there are: {', '.join(sorted(known))}")
    if options.jobs < 1:
        parser.error("--jobs must be at least 1")
    for name in ["mjpeg-rtsp-server", "libgstmjpegfile.so"]:
        if not (options.programs / name).is_file():
            parser.error(f"{options.programs / name} is missing: cargo build --release, or --programs DIR")
    return options


@dataclass(frozen=True)
class Case:
    """One play of one peer."""

    peer: Peer
    # A key of COLUMNS or REFERENCE_COLUMNS.
    column: str

    def play(self, server: str, out: str) -> Play:
        live, seek = self.column.startswith("live-"), self.column == "seek"
        host = REFERENCE if self.column in REFERENCE_COLUMNS else server
        path = "live" if live else "movie"
        transport = "tcp" if seek else self.column.rpartition("-")[2]
        return Play(host, path, transport, live, seek, out)


def cases_of(peer: Peer) -> list[Case]:
    """What a peer must play."""
    plain = [prefix + it for prefix in ("", "live-", "reference-") for it in peer.transports]
    return [Case(peer, column) for column in [*plain, *(["seek"] if peer.seeks else [])]]


class Interop:
    """A run."""

    def __init__(self, options: argparse.Namespace):
        self.options = options
        self.logs = options.cache / "logs"
        shutil.rmtree(self.logs, ignore_errors=True)
        self.logs.mkdir(parents=True)
        self.root = Root(options.cache, self.logs / "install.log")
        self.server = ""
        # As ffmpeg decodes it; other decoders round differently.
        self.movie: Movie | None = None
        self.processes: list[subprocess.Popen[bytes]] = []

    def prepare(self, peers: list[Peer]) -> dict[str, str]:
        """Makes the root and installs the peers. Returns why peers cannot be installed, by their keys."""
        say("preparing the root; the first time, this takes some minutes")
        new = self.root.make(self.options.update)
        failures = {}
        for peer in peers:
            missing = self.root.install(peer.packages)
            missing += self.root.install_wheels(peer.wheels, self.options.update or new)
            if missing:
                say(f"{peer.name} cannot be installed: there is no {missing}")
                failures[peer.key] = f"cannot be installed: there is no {missing}"
        self.root.bind(self.options.programs.resolve(), PROGRAMS)
        self.root.bind(HERE / "inside", SCRIPTS)
        return failures

    def tool(self, command: list[str]) -> bytes:
        """Runs a program in the root that must succeed, and returns its output."""
        done = subprocess.run(
            self.root.command(command), stdin=subprocess.DEVNULL, capture_output=True, check=False,
            timeout=TOOL_LIMIT,
        )  # fmt: skip
        if done.returncode != 0:
            log = done.stderr.decode(errors="replace").strip()
            raise RootError(f"{' '.join(command)}: exit code {done.returncode}: {log[-2000:]}")
        return done.stdout

    def make_movie(self) -> None:
        """Draws the movie, and writes it for both servers."""
        ffmpeg = ["ffmpeg", "-v", "error", "-nostdin"]
        frames = f"{WORK}/frame-%04d.jpg"
        # RTP/JPEG carries such images as they are: 4:2:0 with the standard Huffman tables.
        encode = ["-pix_fmt", "yuvj420p", "-huffman", "default", "-q:v", "4", "-f", "image2"]
        draw = ["-f", "lavfi", "-i", drawing(), "-frames:v", str(FRAMES)]
        self.tool([*ffmpeg, *draw, *encode, "-start_number", "0", frames])
        images = [(self.root.work / f"frame-{n:04}.jpg").read_bytes() for n in range(FRAMES)]
        records = b"".join(b"%05d" % len(image) + image for image in images)
        (self.root.work / "movie.mjpeg").write_bytes(records)
        self.tool([*ffmpeg, "-framerate", str(RATE), "-i", frames, "-c", "copy", f"{WORK}/movie.mkv"])
        (self.root.work / "all.jpegs").write_bytes(b"".join(images))
        self.movie = Movie(self.luma_of_jpegs(f"{WORK}/all.jpegs"))

    def luma_of_jpegs(self, path: str) -> bytes:
        """Decodes JPEGs that follow each other."""
        decode = ["-fps_mode", "passthrough", "-vf", "extractplanes=y", "-f", "rawvideo", "-"]
        return self.tool(["ffmpeg", "-v", "error", "-nostdin", "-f", "mjpeg", "-i", path, *decode])

    def _start(self, command: list[str], log: Path) -> subprocess.Popen[bytes]:
        with log.open("w") as stderr:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr,
            )  # fmt: skip
        self.processes.append(process)
        return process

    def start_servers(self) -> None:
        """Starts our server, on the host, and gst-rtsp-server in the root."""
        movie = self.root.work / "movie.mjpeg"
        config = self.options.cache / "server.toml"
        mounts = [("movie", "on-demand"), ("live", "live")]
        config.write_text(
            f'listen = "127.0.0.1:8554"\n[defaults]\nframerate = {RATE}\n'
            + "".join(f'[[mount]]\npath = "{movie}"\nname = "{n}"\nkind = "{k}"\n' for n, k in mounts)
        )
        program = str(self.options.programs.resolve() / "mjpeg-rtsp-server")
        command = [program, "--config", str(config), "--log", "debug"]
        ours = self._start(command, self.logs / "server.log")
        url = ours.stdout.readline().decode().strip() if ours.stdout else ""
        if not url.startswith("rtsp://"):
            raise RootError(f"our server does not start; see {self.logs / 'server.log'}")
        self.server = "127.0.0.1:8554"
        script = ["python3", f"{SCRIPTS}/reference_server.py", f"{WORK}/movie.mkv"]
        other = self._start(self.root.command(script), self.logs / "reference-server.log")
        if not (other.stdout and other.stdout.readline()):
            raise RootError(f"gst-rtsp-server does not start; see {self.logs / 'reference-server.log'}")

    def stop_servers(self) -> None:
        """Ends the servers."""
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                process.kill()

    def run(self, case: Case) -> Verdict:
        """Lets a peer play, and judges what it has received."""
        name = f"{case.peer.key}-{case.column}"
        folder = self.root.work / name
        folder.mkdir()
        os.chown(folder, os.stat(self.root.work).st_uid, -1)
        play = case.play(self.server, f"{WORK}/{name}/out")
        command = self.root.command(["env", "-C", f"{WORK}/{name}", *case.peer.command(play)])
        interrupted = case.peer.interrupted and play.live
        problem = self._run_player(command, play, interrupted, self.logs / f"{name}.log")
        try:
            received = self._read(case.peer, folder, f"{WORK}/{name}")
        except RootError as error:
            say(f"{name}: {error}")
            received = Received()
            problem = problem or "what it wrote cannot be decoded"
        finally:
            shutil.rmtree(folder)
        received.problem = problem
        if case.peer.repeats:
            received.numbers = [number for number, _ in groupby(received.numbers)]
        if play.live:
            return judge_live(received, (LIVE_SECONDS - 3) * RATE)
        return judge_whole(received, SEEK_FRAME if play.seek else 0)

    @staticmethod
    def _run_player(command: list[str], play: Play, interrupted: bool, log: Path) -> str:
        """Runs a player to its end, or interrupts it. Returns why it failed, if it did."""
        limit = (LIVE_SECONDS if play.live else FRAMES / RATE) + (1 if interrupted else EXTRA)
        with log.open("w") as file:
            print("+", *command, file=file, flush=True)
            player = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True,
            )  # fmt: skip
            try:
                code = player.wait(limit)
            except subprocess.TimeoutExpired:
                for end in (signal.SIGINT, signal.SIGKILL):
                    os.killpg(player.pid, end)
                    try:
                        player.wait(GRACE)
                        break
                    except subprocess.TimeoutExpired:
                        continue
                return "" if interrupted else f"did not end within {limit:.0f} s"
        return f"exit code {code}" if code else ""

    def _read(self, peer: Peer, folder: Path, inside: str) -> Received:
        assert self.movie is not None
        written = sorted(it.name for it in os.scandir(folder) if it.stat().st_size)
        names = written_file(peer, written)
        if not names:
            return Received()
        output = peer.output
        match output.kind:
            case "jpeg":
                pictures = cut(self.luma_of_jpegs(f"{inside}/{names[0]}"), LUMA)
            case "pictures":
                # PNG files, in the order of their names.
                joined = b"".join((folder / name).read_bytes() for name in names)
                (folder / "joined").write_bytes(joined)
                decode = ["-f", "png_pipe", "-i", f"{inside}/joined", "-fps_mode", "passthrough"]
                grey = ["-pix_fmt", "gray", "-f", "rawvideo", "-"]
                luma = self.tool(["ffmpeg", "-v", "error", "-nostdin", *decode, *grey])
                pictures = cut(luma, LUMA)
            case _:
                pictures = cut((folder / names[0]).read_bytes(), LUMA)
        return self.movie.read(pictures, output.exact)

    def decoded(self, source: list[str]) -> Iterator[bytes]:
        """The luma of the JPEGs of a GStreamer source, as jpegdec decodes them."""
        caps = f"video/x-raw,format=I420,width={WIDTH},height={HEIGHT}"
        out = self.root.work / "decoded.raw"
        tail = ["!", "jpegdec", "!", caps, "!", "filesink", f"location={WORK}/{out.name}"]
        self.tool(["gst-launch-1.0", "-q", *source, *tail])
        return cut(out.read_bytes(), LUMA * 3 // 2)

    def check_plugin(self) -> Verdict:
        """Loads our plugin in the root's GStreamer, and plays the movie by it."""
        listed = self.tool(["gst-inspect-1.0", f"{PROGRAMS}/libgstmjpegfile.so"]).decode()
        (self.logs / "plugin.log").write_text(listed)
        elements = [line.split(":")[0].strip() for line in listed.splitlines() if line.startswith("  ")]
        elements = [it for it in elements if it.startswith(("mjpegfile", "lab", "rtplab", "rtpjpegprep"))]
        bad = [it for it in elements if b"Factory Details" not in self.tool(["gst-inspect-1.0", it])]
        plain = ["multifilesrc", f"location={WORK}/frame-%04d.jpg", f"caps=image/jpeg,framerate={RATE}/1"]
        movie = Movie(b"".join(self.decoded(plain)))
        ours = ["mjpegfilesrc", f"location={WORK}/movie.mjpeg"]
        verdict = judge_whole(movie.read(self.decoded(ours), True))
        loaded = f"{len(elements) - len(bad)} of {len(elements)} elements load"
        faults = verdict.faults + len(bad) + (not elements)
        return Verdict(faults, f"{loaded}; `mjpegfilesrc ! jpegdec`: {verdict.text}")


def expected_faults(known: list[dict], key: str, column: str) -> int:
    """The number of frames that a case may lack; of "install", whether the player may be missing."""
    return max((it["faults"] for it in known if it["peer"] == key and column in it["columns"]), default=0)


def main() -> int:
    """Runs what the command line asks for. Returns the exit code."""
    options = arguments()
    started = time.monotonic()
    chosen = [peer for peer in PEERS if not options.peers or peer.key in options.peers]
    with_plugin = not options.peers or PLUGIN in options.peers
    known = tomllib.loads((HERE / "known.toml").read_text())["known"]
    interop = Interop(options)
    failures = interop.prepare(chosen)
    leave_network()
    interop.make_movie()
    plugin = None
    if with_plugin:
        try:
            plugin = interop.check_plugin()
        except RootError as error:
            plugin = Verdict(1, str(error).splitlines()[0][:200])
    cases = [case for peer in chosen if peer.key not in failures for case in cases_of(peer)]
    verdicts: dict[tuple[str, str], Verdict] = {}
    if cases:
        interop.start_servers()
        say(f"playing: {len(cases)} plays, {options.jobs} at a time")
        with ThreadPoolExecutor(options.jobs) as pool:
            for case, verdict in zip(cases, pool.map(interop.run, cases)):
                verdicts[case.peer.key, case.column] = verdict
                say(f"{case.peer.key} {case.column}: {verdict.text}")
        interop.stop_servers()

    date = datetime.date.today().isoformat()
    worse: list[str] = []
    ours, reference = [], []
    for peer in chosen:
        version = interop.root.package_version(peer.versioned) or interop.root.wheel_version(peer.versioned)
        failure = failures.get(peer.key)
        if failure and not expected_faults(known, peer.key, "install"):
            worse.append(f"{peer.name} {failure}")
        for rows, columns in ((ours, COLUMNS), (reference, REFERENCE_COLUMNS)):
            cells = [failure] if failure else []
            for column in list(columns)[len(cells) :]:
                verdict = verdicts.get((peer.key, column))
                cells.append(verdict.text if verdict else "–")
                # Of the other server, there are no expectations.
                if verdict and columns is COLUMNS:
                    limit = expected_faults(known, peer.key, column)
                    if verdict.faults > limit:
                        worse.append(f"{peer.name}, {column}: {verdict.text}")
            rows.append(row(peer.name, version or "–", date, cells))
    plugin_rows = []
    if plugin:
        plugin_rows = [row(PLUGIN_NAME, interop.root.package_version("gstreamer1.0-tools"), date, [plugin.text])]
        if plugin.faults:
            worse.append(f"{PLUGIN_NAME}: {plugin.text}")
    names = [peer.name for peer in PEERS]
    for kind, rows in (("plugin", plugin_rows), ("ours", ours), ("reference", reference)):
        if rows:
            print("", *table(kind, rows), sep="\n")
            if not options.no_page:
                replace(PAGE, kind, rows, [PLUGIN_NAME, *names])
    say(f"done in {time.monotonic() - started:.0f} s; logs: {interop.logs}")
    for line in worse:
        say(f"worse than expected: {line}")
    return 1 if worse else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (RootError, OSError) as error:
        say(str(error))
        sys.exit(2)
