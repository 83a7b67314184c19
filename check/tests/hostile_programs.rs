// SPDX-License-Identifier: MIT OR Apache-2.0
//! Hostile submissions.

/// A name, a program, a part of the verdict, and a part of its notes.
pub type Hostile = (&'static str, &'static str, &'static str, &'static str);

/// Each never serves. The checks need a connection.
pub const HOSTILE: &[Hostile] = &[
    ("crashes", "import no_such_module", "connect, 44 not run", "exit code 1"),
    ("hangs", "import time\ntime.sleep(1000)", "connect, 44 not run", ""),
    (
        "ignores-sigterm",
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(1000)",
        "connect, 44 not run",
        "",
    ),
    ("floods", "while True: print('x' * 10000)", "connect, 44 not run", ""),
    (
        "binary",
        "import os, sys\nwhile True: sys.stdout.buffer.write(os.urandom(4096))",
        "connect, 44 not run",
        "",
    ),
    (
        "forks",
        "import os, time\nwhile True:\n try: os.fork()\n except OSError: time.sleep(0.01)",
        "connect, 44 not run",
        "processes; allowed are 64",
    ),
    (
        "detaches",
        "import os, time\nfor _ in range(3):\n if os.fork() == 0:\n  os.setsid()\n  if os.fork() == 0: time.sleep(1000)",
        "connect, 44 not run",
        "",
    ),
    (
        "memory",
        // What is shared counts in each, so that little has to be written on a busy machine.
        "import os, time\nall = b'x' * 100_000_000\nfor _ in range(12):\n if os.fork() == 0: break\ntime.sleep(1000)",
        "connect, 44 not run",
        "over 1024 MiB of memory",
    ),
    (
        "computes",
        "import os\nfor _ in range(4): os.fork()\nwhile True: pass",
        "connect, 44 not run",
        "several processes that computed",
    ),
];

/// Writes 10 GB, or as much as can be written, and then serves.
pub const TEN_GIGABYTES: &str = r#"
def write_much():
    written = 0
    for name in ["big", "/tmp/big", "/dev/shm/big", "/big", "/var/tmp/big"]:
        try:
            with open(name, "wb") as file:
                while written < 10_000_000_000:
                    written += file.write(bytes(1_000_000))
        except OSError as error:
            print(name, error)
    print("written:", written, flush=True)

write_much()

def main():
"#;

/// Deletes all that it can, and then serves.
pub const DELETES: &str = r#"
def delete_all():
    import os, shutil
    for name in sorted(os.listdir("/")):
        if name not in ["proc", "sys", "usr", "work"]:
            shutil.rmtree("/" + name, ignore_errors=True)
    for name in os.listdir("."):
        if os.path.isfile(name) and not name.endswith(".Mjpeg"):
            os.unlink(name)

delete_all()

def main():
"#;

/// Tries to change its verdict.
pub const FORGES: &str = r#"
import os, signal
print('{"passed": true, "earned": 45, "points": 45, "summary": "", "checks": [], "notes": [], "seconds": 1}')
print("</pre><script>alert(1)</script>", flush=True)
for folder, _, _ in os.walk("/"):
    if folder.startswith(("/proc", "/sys", "/usr")):
        continue
    for name in ["verdict.json", "report.html", "summary.html", "summary.csv"]:
        try:
            open(os.path.join(folder, name), "w").write('{"passed": true}')
        except OSError:
            pass
for process in [os.getppid(), -1, 1]:
    try:
        os.kill(process, signal.SIGKILL)
    except OSError:
        pass
for descriptor in range(3, 100):
    try:
        os.write(descriptor, b'{"passed": true}')
    except OSError:
        pass
import time
time.sleep(1000)
"#;

/// Prints what it sees, and ends.
pub const LOOKS: &str = r#"
import os, socket, sys
print("interfaces:", [name for _, name in socket.if_nameindex()])
hidden = ["/root", "/home", "/var", "/etc/shadow", *sys.argv[2:]]
print("seen:", [path for path in hidden if os.path.exists(path)])
print("files:", sorted(os.listdir(".")), "in /tmp:", os.listdir("/tmp"))
commands = [open(f"/proc/{it}/cmdline").read() for it in os.listdir("/proc") if it.isdigit()]
print("graders:", [it for it in commands if "--json" in it])
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print("rights:", int(status["CapEff"], 16), int(status["CapBnd"], 16), int(status["NoNewPrivs"]))
try:
    socket.create_connection(("192.0.2.1", 80), 5)
except OSError as error:
    print("network:", error.strerror)
"#;

/// Reports pictures of 4 MB without end as soon as it has a window, and then is a client.
pub const FLOODS_PICTURES: &str = r#"
def flood():
    import mjpeg_lab_check_link as link
    threading = link.threading
    report = link.Link()
    picture = bytes(4_000_000)
    def run():
        while True:
            report.report("picture", data=picture, widget=1)
            report.report("text", text="x" * 4000, widget=1)
            report.report("message", text="x" * 4000)
    threading.Thread(target=run, daemon=True).start()

flood()

def main():
"#;
