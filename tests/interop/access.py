# SPDX-License-Identifier: MIT OR Apache-2.0
"""access.py --programs DIR: plays a movie that needs a login, is encrypted or is sent by multicast, in players of
this machine and of the root of scripts/interop, and prints the table of docs/access.md.

Must run as root, in a mount and process namespace of its own:

    unshare --mount --pid --fork --kill-child=KILL --mount-proc \\
        python3 -B tests/interop/access.py --programs target/debug

A cell has the number of frames that were received of the movie's 100, or for multicast of a live one in some
seconds. Whether they are the right ones, the end-to-end tests check.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from root import SCRIPTS, VENV, WORK, Root, leave_network

HERE = Path(__file__).resolve().parent
FRAMES, RATE = 100, 25
# Seconds that a player of the live movie may receive, and of any other movie.
LIVE, LIMIT = 6, 20
PASSWORD = "word-1729"
HOST = "127.0.0.1"
# The address of the host, where multicast is possible: players join a group by the route to it.
CABLE = "10.78.0.1"
MODES = ["none", "Basic", "digest", "TLS", "TLS and digest", "multicast"]


def run(command, **options):
    """Runs a program that must succeed."""
    done = subprocess.run(command, capture_output=True, check=False, timeout=60, **options)
    if done.returncode != 0:
        raise SystemExit(f"{command}: {done.stderr.decode(errors='replace')}")
    return done.stdout


def make_network():
    """A network with loopback, and a cable that multicast is sent to."""
    leave_network()
    for line in [
        "link add cable type veth peer name other",
        f"address add {CABLE}/24 dev cable",
        "link set cable up",
        "link set other up",
        "route add 224.0.0.0/4 dev cable",
    ]:
        run(["ip", *line.split()])


class Server:
    """Our server, with a configuration for each mode."""

    def __init__(self, programs, work):
        self.programs, self.work = programs, work
        run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", f"testsrc2=size=320x240:rate={RATE}", "-frames:v",
             str(FRAMES), "-pix_fmt", "yuvj420p", "-huffman", "default", "-q:v", "4",
             str(work / "image-%03d.jpg")])  # fmt: skip
        images = [path.read_bytes() for path in sorted(work.glob("image-*.jpg"))]
        (work / "movie.mjpeg").write_bytes(b"".join(b"%05d" % len(it) + it for it in images))
        run([programs / "mjpeg-rtsp-server", "certificate", "--out", work / "tls", HOST, CABLE])

    def start(self, mode):
        """Starts the server for a mode. Returns its process and the URL."""
        live = "kind = 'live'\nmulticast = ['239.192.9.1']\nudp-offload = 'off'\n" if mode == "multicast" else ""
        login = mode in ("Basic", "digest", "TLS and digest")
        config = self.work / "server.toml"
        config.write_text(
            f"listen = '{CABLE if live else HOST}:8554'\ntls-certificate = 'tls/certificate.pem'\n"
            f"tls-key = 'tls/key.pem'\nbasic-auth = '{'on' if mode == 'Basic' else 'tls'}'\n"
        )
        if login:
            add = ["user", "add", "ana", "--password-stdin", "--config", config]
            kind = ["--hash", "argon2"] if mode == "Basic" else []
            run([self.programs / "mjpeg-rtsp-server", *add, *kind], input=PASSWORD.encode())
        users = "users = ['ana']\n" if login else ""
        with config.open("a") as file:
            file.write(f"[[mount]]\npath = 'movie.mjpeg'\nframerate = {RATE}\n{live}{users}")
        log = (self.work / f"server-{mode.replace(' ', '-')}.log").open("w")
        command = [self.programs / "mjpeg-rtsp-server", "--config", config]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        process.stdout.readline()
        scheme = "rtsps" if "TLS" in mode else "rtsp"
        return process, f"{scheme}://{CABLE if live else HOST}:8554/movie.mjpeg", login


def with_user(url, login):
    return url.replace("://", f"://ana:{PASSWORD}@") if login else url


def ffmpeg(url, mode, login, out):
    transport = "udp_multicast" if mode == "multicast" else "tcp"
    limit = ["-t", str(LIVE)] if mode == "multicast" else []
    # Newer ones check the certificate, which is signed by its own key.
    tls = ["-tls_verify", "0"] if "TLS" in mode else []
    return ["ffmpeg", "-v", "error", "-nostdin", "-rtsp_transport", transport, *tls, "-i", with_user(url, login),
            *limit, "-c", "copy", "-f", "mjpeg", out]  # fmt: skip


def rtspsrc(url, mode, login, out):
    protocols = "udp-mcast" if mode == "multicast" else "tcp"
    user = ["user-id=ana", f"user-pw={PASSWORD}"] if login else []
    return ["gst-launch-1.0", "-q", "rtspsrc", f"location={url}", f"protocols={protocols}",
            "tls-validation-flags=0", *user, "!", "rtpjpegdepay", "!", "filesink", f"location={out}"]  # fmt: skip


def vlc(url, mode, login, out):
    way = "--rtsp-mcast" if mode == "multicast" else "--rtsp-tcp"
    user = [f"--rtsp-user=ana", f"--rtsp-pwd={PASSWORD}"] if login else []
    return ["cvlc", "-vv", "--ignore-config", "--no-audio", "--play-and-exit", way, *user,
            f"--sout=#std{{access=file,mux=es,dst={out}}}", url, "vlc://quit"]  # fmt: skip


def opencv(url, mode, login, out):
    transport = "udp_multicast" if mode == "multicast" else "tcp"
    tls = "|tls_verify;0" if "TLS" in mode else ""
    return ["env", f"OPENCV_FFMPEG_CAPTURE_OPTIONS=rtsp_transport;{transport}{tls}", f"{VENV}/bin/python3",
            f"{SCRIPTS}/opencv_frames.py", with_user(url, login), out,
            str(LIVE * RATE if mode == "multicast" else 0)]  # fmt: skip


def client(programs):
    def command(url, mode, login, out):
        query = "?transport=multicast" if mode == "multicast" else "?transport=tcp"
        limit = ["--seconds", str(LIVE)] if mode == "multicast" else []
        return [str(programs / "mjpeg-rtsp-client"), "--headless", "--json", "--insecure", *limit,
                with_user(url, login) + query]  # fmt: skip

    return command


def count(out, stdout):
    """The number of frames that a player has written."""
    found = re.search(rb'"frames":\s*(\d+)', stdout)
    if found:
        return int(found[1])
    data = out.read_bytes() if out.exists() else b""
    if data and not data.startswith(b"\xff\xd8"):
        # Grey samples.
        return len(data) // (320 * 240)
    return len(re.findall(rb"\xff\xd8\xff", data))


def play(command, mode, out):
    """Runs a player, and interrupts it after a time. Returns the frames that it has received, and its output."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    try:
        stdout, stderr = process.communicate(timeout=LIVE + 2 if mode == "multicast" else LIMIT)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        try:
            stdout, stderr = process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            stdout, stderr = process.communicate()
    return count(out, stdout), stdout + stderr


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("players", nargs="*", metavar="PLAYER", help="only those whose names start so")
    parser.add_argument("--programs", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache/mjpeg-rtsp-interop")
    parser.add_argument("--logs", type=Path, default=Path("/tmp/access-logs"))
    options = parser.parse_args()
    programs = options.programs.resolve()
    options.logs.mkdir(exist_ok=True)
    root = Root(options.cache, options.logs / "install.log")
    root.make(False)
    root.bind(HERE / "inside", SCRIPTS)
    make_network()
    work = options.logs / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    server = Server(programs, work)
    inside = Path(WORK)
    # The name, the command line, and whether it is a player of the root.
    players = [
        ("ffmpeg 5.1", ffmpeg, False),
        ("ffmpeg 9.0", ffmpeg, True),
        ("rtspsrc 1.22", rtspsrc, False),
        ("rtspsrc 1.28", rtspsrc, True),
        ("VLC 3.0.24 (live555)", vlc, True),
        ("OpenCV (wheel, by ffmpeg)", opencv, True),
        ("mjpeg-rtsp-client", client(programs), False),
    ]
    print("| player |", " | ".join(MODES), "|")
    print("|---" * (len(MODES) + 1) + "|")
    for name, command, in_root in players:
        if options.players and not name.startswith(tuple(options.players)):
            continue
        cells = []
        for mode in MODES:
            process, url, login = server.start(mode)
            out_here = root.work / "out" if in_root else work / "out"
            out_here.unlink(missing_ok=True)
            line = command(url, mode, login, str(inside / "out" if in_root else out_here))
            try:
                frames, log = play(root.command(line) if in_root else line, mode, out_here)
            finally:
                process.terminate()
                process.wait()
            (options.logs / f"{name}-{mode}.log".replace("/", "-")).write_bytes(log)
            cells.append(str(frames))
            time.sleep(0.2)
        print(f"| {name} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("access.py must run as root")
    main()
