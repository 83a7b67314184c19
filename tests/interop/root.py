# SPDX-License-Identifier: MIT OR Apache-2.0
"""A root of Debian unstable: made once, kept in a cache, and entered by chroot.

The caller has a mount namespace and a process namespace of its own (scripts/interop), so no mount and no
process of this module outlives it.
"""

import ctypes
import fcntl
import os
import shutil
import socket
import struct
import subprocess
from pathlib import Path

# Packages that judging needs, besides those of the peers.
BASE_PACKAGES = [
    "ca-certificates", "ffmpeg", "python3", "python3-venv", "python3-gi",
    "gstreamer1.0-tools", "gstreamer1.0-plugins-base", "gstreamer1.0-plugins-good",
    "gir1.2-gst-rtsp-server-1.0",
]  # fmt: skip

# The user that the peers run as: VLC refuses to run as root.
USER_ID = 1000

# Where the folders of the host are in the root.
WORK = "/tmp/interop"
PROGRAMS = "/run/programs"
SCRIPTS = "/run/scripts"
VENV = "/opt/peers"

CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1

# Seconds for the steps that download.
INSTALL_LIMIT = 1800


class RootError(Exception):
    """The root cannot be made or entered."""


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.stdout if done.returncode == 0 else ""


def _debian_source() -> tuple[str, str]:
    """The address and the keyring of the Debian archive that this machine's apt uses."""
    wanted = "$(ORIGIN)|$(LABEL)|$(COMPONENT)|$(CREATED_BY)|$(REPO_URI)|$(SIGNED_BY)"
    for line in _output(["apt-get", "indextargets", "--format", wanted]).splitlines():
        origin, label, component, kind, uri, key = line.split("|")
        if (origin, label, component, kind) == ("Debian", "Debian", "main", "Packages"):
            return uri, key if Path(key).is_file() else ""
    raise RootError("apt on this machine has no Debian archive: run apt-get update, then this again")


class Root:
    """The root, in the folder `unstable` of a cache folder."""

    def __init__(self, cache: Path, log: Path):
        self.path = cache / "unstable"
        self.log = log

    def _run(self, what: str, command: list[str], limit: int = INSTALL_LIMIT) -> bool:
        with self.log.open("a") as log:
            print("+", *command, file=log, flush=True)
            try:
                done = subprocess.run(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=limit,
                    env=self._install_environment(), check=False,
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                print(f"{what}: not done in {limit} s", file=log)
                return False
        return done.returncode == 0

    @staticmethod
    def _install_environment() -> dict[str, str]:
        # Proxies and certificates may be set by variables.
        kept = {name: value for name, value in os.environ.items() if name != "PIP_FIND_LINKS"}
        return {
            **kept,
            "DEBIAN_FRONTEND": "noninteractive",
            "LC_ALL": "C.UTF-8",
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
        }

    def _in_root(self, what: str, command: list[str], limit: int = INSTALL_LIMIT) -> bool:
        return self._run(what, ["chroot", str(self.path), *command], limit)

    def make(self, update: bool) -> bool:
        """Makes the root if there is none, mounts what its programs need. Returns whether it is new."""
        new = not self.path.is_dir()
        if new:
            self._bootstrap()
        self._mount()
        if new or update:
            if not self._in_root("apt-get update", ["apt-get", "update", "-q"]):
                raise RootError(f"apt-get update fails in the root; see {self.log}")
        if update:
            upgrade = ["apt-get", "dist-upgrade", "-y", "-q", "--no-install-recommends"]
            if not self._in_root("apt-get dist-upgrade", upgrade):
                raise RootError(f"apt-get dist-upgrade fails in the root; see {self.log}")
        failed = self.install(BASE_PACKAGES)
        if failed:
            raise RootError(f"cannot install {failed}; see {self.log}")
        return new

    def _bootstrap(self) -> None:
        uri, key = _debian_source()
        # Renamed when complete: an interrupted one is started anew.
        part = self.path.with_name("unstable.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        command = ["debootstrap", "--variant=minbase", "--merged-usr"]
        if key:
            command.append(f"--keyring={key}")
        if not self._run("debootstrap", [*command, "unstable", str(part), uri]):
            raise RootError(f"debootstrap fails; see {self.log}")
        # The same proxies, checks of dates and so on as on this machine.
        lines = _output(["apt-config", "dump", "Acquire"]).splitlines()
        kept = [line for line in lines if not line.startswith("Acquire::IndexTargets")]
        (part / "etc/apt/apt.conf.d/90host").write_text("\n".join([*kept, ""]))
        passwd = part / "etc/passwd"
        user = f"viewer:x:{USER_ID}:{USER_ID}::{WORK}:/bin/sh\n"
        passwd.write_text(passwd.read_text() + user)
        part.rename(self.path)

    def _mount(self) -> None:
        for name in ["proc", "dev", "tmp", "run"]:
            (self.path / name).mkdir(exist_ok=True)
        for kind, options, name in [
            ("proc", [], "proc"),
            ("tmpfs", ["-o", "mode=1777"], "tmp"),
            ("tmpfs", ["-o", "mode=0755"], "run"),
        ]:
            self._host(["mount", "-t", kind, *options, kind, str(self.path / name)])
        self._host(["mount", "--rbind", "/dev", str(self.path / "dev")])
        for file in ["/etc/resolv.conf", "/etc/hosts"]:
            if Path(file).is_file():
                shutil.copyfile(file, self.path / file[1:])
        self.work.mkdir()
        os.chown(self.work, USER_ID, USER_ID)

    @staticmethod
    def _host(command: list[str]) -> None:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode != 0:
            raise RootError(f"{' '.join(command)}: {done.stderr.strip()}")

    @property
    def work(self) -> Path:
        """The folder WORK as the host sees it. It is in memory and ends with the namespace."""
        return self.path / WORK[1:]

    def bind(self, folder: Path, where: str) -> None:
        """Shows a folder of the host in the root, read-only."""
        target = self.path / where[1:]
        target.mkdir(parents=True, exist_ok=True)
        self._host(["mount", "--bind", str(folder), str(target)])
        self._host(["mount", "-o", "remount,bind,ro", str(target)])

    def package_version(self, package: str) -> str:
        """The version of an installed package, without epoch and Debian's revision; empty if it is not
        installed."""
        query = ["dpkg-query", f"--admindir={self.path}/var/lib/dpkg", "-W", "-f"]
        status = _output([*query, "${db:Status-Status} ${Version}", package]).split(" ")
        if len(status) != 2 or status[0] != "installed":
            return ""
        return status[1].split(":")[-1].split("-")[0].split("+")[0]

    def install(self, packages: list[str]) -> str:
        """Installs packages. Returns the names of those that cannot be installed."""
        missing = [it for it in packages if not self.package_version(it)]
        if not missing:
            return ""
        command = ["apt-get", "install", "-y", "-q", "--no-install-recommends"]
        if not self._in_root(f"apt-get install {missing}", [*command, *missing]):
            # The list of packages may be old.
            self._in_root("apt-get update", ["apt-get", "update", "-q"])
            self._in_root(f"apt-get install {missing}", [*command, *missing])
        return " ".join(it for it in missing if not self.package_version(it))

    def install_wheels(self, wheels: list[str], update: bool) -> str:
        """Installs Python packages by pip. Returns the names of those that cannot be installed."""
        missing = [it for it in wheels if update or not self.wheel_version(it)]
        if not missing:
            return ""
        certificates = Path("/etc/ssl/certs/ca-certificates.crt")
        if certificates.is_file():
            # Those of this machine, which may have one of a proxy.
            shutil.copyfile(certificates, self.path / str(certificates)[1:])
        if not (self.path / VENV[1:] / "bin/pip").exists():
            self._in_root("venv", ["python3", "-m", "venv", VENV])
        pip = [f"{VENV}/bin/pip", "install", "--upgrade", "--only-binary=:all:", *missing]
        self._in_root(f"pip install {missing}", pip)
        return " ".join(it for it in missing if not self.wheel_version(it))

    def wheel_version(self, wheel: str) -> str:
        """The version of an installed Python package; empty if it is not installed."""
        name = wheel.replace("-", "_").lower()
        for info in (self.path / VENV[1:]).glob("lib/python*/site-packages/*.dist-info"):
            found, _, version = info.name.removesuffix(".dist-info").partition("-")
            if found.lower() == name:
                return version
        return ""

    def command(self, arguments: list[str]) -> list[str]:
        """The command that runs a program in the root as the peers' user."""
        settings = {
            "PATH": "/usr/bin:/bin",
            "HOME": WORK,
            "LC_ALL": "C.UTF-8",
            "GST_REGISTRY": f"{WORK}/registry.bin",
            "GST_PLUGIN_PATH": PROGRAMS,
            "XDG_RUNTIME_DIR": WORK,
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        pairs = [f"{name}={value}" for name, value in settings.items()]
        user = f"--userspec={USER_ID}:{USER_ID}"
        return ["chroot", user, str(self.path), "env", "-i", "-C", WORK, *pairs, *arguments]


def leave_network() -> None:
    """Gives this process, and those that it starts, a network of its own that has only loopback."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        raise RootError(f"no network namespace: {os.strerror(ctypes.get_errno())}")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))
