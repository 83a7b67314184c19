# SPDX-License-Identifier: MIT OR Apache-2.0
"""The players: what to install, and how each one plays a URL into a file."""

from collections.abc import Callable
from dataclasses import dataclass, field

from frames import SEEK_SECONDS
from root import SCRIPTS, VENV

# Frames, or seconds, that are received of a live movie.
LIVE_FRAMES, LIVE_SECONDS = 150, 7

UDP, TCP, HTTP = "udp", "tcp", "http"


@dataclass(frozen=True)
class Play:
    """What a player must play, and into which files."""

    host: str
    path: str
    transport: str
    live: bool
    seek: bool
    # The file for the frames. Its name without an end is free for a folder.
    out: str

    @property
    def url(self) -> str:
        return f"rtsp://{self.host}/{self.path}"

    @property
    def port(self) -> str:
        return self.host.rpartition(":")[2]

    def count(self, option: str) -> list[str]:
        """An option with the number of frames, if the movie has no end."""
        return [f"{option}{LIVE_FRAMES}"] if self.live else []


@dataclass(frozen=True)
class Output:
    """The form in which a player writes frames."""

    # "jpeg": JPEGs one after another. "luma": raw luma. "pictures": PNG files in the folder of the output.
    kind: str
    # Every sample of the luma is that of the movie; otherwise the player has converted colours.
    exact: bool = True


@dataclass(frozen=True)
class Peer:
    """A player."""

    key: str
    name: str
    command: Callable[[Play], list[str]]
    output: Output
    packages: list[str] = field(default_factory=list)
    wheels: list[str] = field(default_factory=list)
    # The package whose version the table shows, if it is not the last one.
    version_of: str = ""
    transports: tuple[str, ...] = (UDP, TCP, HTTP)
    seeks: bool = True
    # It has no option that ends it, and must be interrupted to end a live movie.
    interrupted: bool = False
    # It shows a picture again when nothing is wrong: repeated frames are no fault.
    repeats: bool = False

    @property
    def versioned(self) -> str:
        return self.version_of or [*self.packages, *self.wheels][-1]


def _ffmpeg(play: Play) -> list[str]:
    seek = ["-ss", str(SEEK_SECONDS)] if play.seek else []
    count = ["-frames:v", str(LIVE_FRAMES)] if play.live else []
    return [
        "ffmpeg", "-v", "error", "-nostdin", "-rtsp_transport", play.transport, *seek, "-i", play.url,
        *count, "-fps_mode", "passthrough", "-vf", "extractplanes=y", "-f", "rawvideo", play.out,
    ]  # fmt: skip


def _gstreamer(play: Play, source: list[str]) -> list[str]:
    count = ["!", "identity", *play.count("eos-after=")] if play.live else []
    tail = ["!", "rtpjpegdepay", *count, "!", "filesink", f"location={play.out}"]
    return ["gst-launch-1.0", "-q", *source, *tail]


def _rtspsrc(play: Play) -> list[str]:
    if play.seek:
        # gst-launch-1.0 cannot seek.
        return ["python3", f"{SCRIPTS}/rtspsrc_seek.py", play.url, play.out, str(SEEK_SECONDS)]
    scheme = {UDP: "rtspu", TCP: "rtspt", HTTP: "rtsph"}[play.transport]
    return _gstreamer(play, ["rtspsrc", f"location={scheme}{play.url.removeprefix('rtsp')}"])


def _rtspsrc2(play: Play) -> list[str]:
    return _gstreamer(play, ["rtspsrc2", f"location={play.url}", f"protocols={play.transport}"])


def _open_rtsp(play: Play) -> list[str]:
    way = {UDP: [], TCP: ["-t"], HTTP: ["-T", play.port]}[play.transport]
    seek = ["-s", str(SEEK_SECONDS)] if play.seek else []
    limit = ["-d", str(LIVE_SECONDS)] if play.live else []
    # It names its file itself: see `written_file`.
    return ["openRTSP", "-V", "-b", "300000", *way, *seek, *limit, play.url]


def _vlc(play: Play) -> list[str]:
    way = {UDP: [], TCP: ["--rtsp-tcp"], HTTP: ["--rtsp-http", f"--rtsp-http-port={play.port}"]}
    seek = [f"--start-time={SEEK_SECONDS}"] if play.seek else []
    return [
        "cvlc", "-vv", "--ignore-config", "--no-audio", "--play-and-exit", *way[play.transport], *seek,
    ]  # fmt: skip


def _vlc_records(play: Play) -> list[str]:
    sout = f"--sout=#std{{access=file,mux=es,dst={play.out}}}"
    return [*_vlc(play), sout, play.url, "vlc://quit"]


def _vlc_shows(play: Play) -> list[str]:
    folder = play.out.rpartition("/")[0]
    scene = [f"--scene-path={folder}", "--scene-prefix=shot", "--scene-format=png", "--scene-ratio=1"]
    frames = ["--no-drop-late-frames", "--no-skip-frames", "--avcodec-hw=none"]
    show = ["--vout=vdummy", "--video-filter=scene", *scene, *frames]
    return [*_vlc(play), *show, play.url, "vlc://quit"]


def _mpv(play: Play) -> list[str]:
    folder = play.out.rpartition("/")[0]
    seek = [f"--start={SEEK_SECONDS}"] if play.seek else []
    return [
        "mpv", "--no-config", "--no-audio", f"--rtsp-transport={play.transport}", "--vo=image",
        "--vo-image-format=png", "--vo-image-png-compression=0", f"--vo-image-outdir={folder}",
        "--untimed", "--framedrop=no", *play.count("--frames="), *seek, play.url,
    ]  # fmt: skip


def _opencv(play: Play) -> list[str]:
    count = str(LIVE_FRAMES if play.live else 0)
    return [
        "env", f"OPENCV_FFMPEG_CAPTURE_OPTIONS=rtsp_transport;{play.transport}",
        f"{VENV}/bin/python3", f"{SCRIPTS}/opencv_frames.py", play.url, play.out, count,
    ]  # fmt: skip


def _pyav(play: Play) -> list[str]:
    count = str(LIVE_FRAMES if play.live else 0)
    seek = str(SEEK_SECONDS if play.seek else 0)
    return [
        f"{VENV}/bin/python3", f"{SCRIPTS}/pyav_frames.py", play.url, play.out, count, play.transport, seek,
    ]  # fmt: skip


_VLC_PACKAGES = ["vlc-plugin-base", "vlc-plugin-access-extra", "vlc-bin"]

PEERS = [
    Peer("openrtsp", "openRTSP (live555)", _open_rtsp, Output("jpeg"), ["livemedia-utils"]),
    Peer("ffmpeg", "ffmpeg", _ffmpeg, Output("luma"), ["ffmpeg"]),
    Peer(
        "rtspsrc", "GStreamer `rtspsrc`", _rtspsrc, Output("jpeg"), ["gstreamer1.0-plugins-good"],
    ),
    Peer(
        "rtspsrc2", "GStreamer `rtspsrc2`", _rtspsrc2, Output("jpeg"), ["gstreamer1.0-plugins-rs"],
        transports=(UDP, TCP), seeks=False,
    ),
    Peer("vlc-record", "VLC, records", _vlc_records, Output("jpeg"), _VLC_PACKAGES, interrupted=True),
    Peer(
        "vlc-show", "VLC, shows", _vlc_shows, Output("pictures", exact=False), _VLC_PACKAGES,
        interrupted=True, repeats=True,
    ),
    Peer("mpv", "mpv", _mpv, Output("pictures", exact=False), ["mpv"]),
    Peer(
        "opencv", "OpenCV (wheel)", _opencv, Output("luma", exact=False),
        wheels=["opencv-python-headless"], seeks=False,
    ),
    Peer("pyav", "PyAV (wheel)", _pyav, Output("luma"), wheels=["av"]),
]  # fmt: skip


def written_file(peer: Peer, names: list[str]) -> list[str]:
    """Those of the files in the folder of a play that have its frames, in order."""
    if peer.output.kind == "pictures":
        return sorted(name for name in names if name.endswith(".png"))
    if peer.key == "openrtsp":
        return [name for name in names if name.startswith("video-JPEG")]
    return [name for name in names if name == "out"]
