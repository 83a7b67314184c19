// SPDX-License-Identifier: MIT OR Apache-2.0
//! What separates graded programs from the machine, from each other, and from their verdicts.
//!
//! With bubblewrap, there are two sandboxes, one in the other:
//!
//! ```text
//! class                             the machine
//! └─ bwrap: a network of its own    (loopback only)
//!    └─ mjpeg-lab-check server      the grader, or client: speaks with the program, writes the report
//!       └─ bwrap: files, processes  read-only system, own /tmp and copy, nothing else
//!          └─ run-limited           limits on processes, memory, files and time
//!             └─ the program
//! ```
//!
//! The grader and the program share the network only. So the program cannot see the grader's process, its
//! files or its output. A client also sees the folder with the stand-in for tkinter and its socket.

use crate::cli::SandboxChoice;
use crate::limited;
use anyhow::{Context, Result, anyhow, bail};
use std::ffi::OsString;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The bytes that a program may write besides its copy.
const WRITABLE: u64 = 64 * 1024 * 1024;

/// The bytes of shared memory.
const SHARED: u64 = 16 * 1024 * 1024;

/// The seconds that each process may compute.
const SECONDS: u64 = 120;

/// The memory of each process, in bytes.
const MEMORY: u64 = 1024 * 1024 * 1024;

/// The processes and threads of a program.
const TASKS: u64 = 256;

/// If this program is started by root, graded programs run as users whose numbers no system gives to anybody:
/// one for each job of each run, since the processes of a user are counted.
const USERS: u32 = 1_900_000_000;

/// The same for a container that has no numbers above 65535.
const FEW_USERS: u32 = 61_200;

/// The users of a run, which is the highest number of jobs.
const USERS_OF_RUN: u32 = 64;

/// Files of the system that programs may read, besides /usr.
const SYSTEM: &[&str] = &[
    "/etc/alternatives",
    "/etc/fonts",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/timezone",
    "/opt",
];

/// Folders of the system that are often links into /usr.
const MERGED: [&str; 6] = ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/// What separates the programs from the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Sandboxes of bubblewrap.
    Bubblewrap,
    /// Process groups with limits.
    Limits,
}

/// How programs are started.
#[derive(Debug)]
pub struct Sandbox {
    /// What separates them from the machine.
    pub kind: Kind,
    /// This program, where the users of graded programs can read it.
    program: PathBuf,
    /// The user of the first job, if programs run as other users.
    first_user: Option<u32>,
    /// The arguments of bubblewrap that are the same for all.
    system: Vec<OsString>,
}

/// A program that is to be started.
#[derive(Debug, Clone, Copy)]
pub struct Sandboxed<'a> {
    /// The number of its job, from 0.
    pub job: u16,
    /// Its folder.
    pub copy: &'a Path,
    /// The bytes in it.
    pub bytes: u64,
    /// Another folder that it may read, at the same path.
    pub shown: Option<&'a Path>,
}

fn add(words: &mut Vec<OsString>, more: &[&str]) {
    words.extend(more.iter().map(OsString::from));
}

/// Shows a file or folder for reading.
fn bind(words: &mut Vec<OsString>, from: &Path, to: &Path) {
    words.extend(["--ro-bind".into(), from.into(), to.into()]);
}

impl Sandbox {
    /// Chooses what works here. Returns why it is not bubblewrap, if it could have been. `folder` is a
    /// temporary one.
    ///
    /// # Errors
    /// If what was asked for does not work.
    pub fn choose(
        wanted: SandboxChoice,
        readable: &[PathBuf],
        folder: &Path,
    ) -> Result<(Self, Option<String>)> {
        let program = folder.join("mjpeg-lab-check");
        let own = std::env::current_exe().context("the path of this program is not known")?;
        std::fs::copy(&own, &program)
            .with_context(|| format!("cannot copy {} to {}", own.display(), program.display()))?;
        set_mode(folder, 0o711)?;
        set_mode(&program, 0o755)?;
        let system = system(readable)?;
        let run = std::process::id();
        let users = if rustix::process::geteuid().is_root() {
            let many = USERS + run % 1_000_000 * USERS_OF_RUN;
            vec![Some(many), Some(FEW_USERS + run % 16 * USERS_OF_RUN)]
        } else {
            vec![None]
        };
        let mut sandbox = Self { kind: Kind::Bubblewrap, program, first_user: None, system };
        let mut works = |kind: Kind| {
            sandbox.kind = kind;
            let mut probed = Err(anyhow!("no user"));
            for user in &users {
                sandbox.first_user = *user;
                probed = sandbox.probe(folder);
                if probed.is_ok() {
                    break;
                }
            }
            probed
        };
        if wanted == SandboxChoice::Limits {
            works(Kind::Limits)?;
            return Ok((sandbox, None));
        }
        let Err(error) = works(Kind::Bubblewrap) else { return Ok((sandbox, None)) };
        if wanted == SandboxChoice::Bubblewrap {
            return Err(error.context("bubblewrap does not work here"));
        }
        works(Kind::Limits)?;
        Ok((sandbox, Some(format!("{error:#}"))))
    }

    /// Starts a program in the sandbox that reports whether the network works.
    fn probe(&self, folder: &Path) -> Result<()> {
        let copy = folder.join("probe");
        std::fs::create_dir_all(&copy)?;
        self.give(&copy, 0)?;
        let mut words = self.grader();
        words.extend(self.wrapper(&Sandboxed { job: 0, copy: &copy, bytes: 0, shown: None }));
        // It ends with "--".
        words.pop();
        words.push("--probe".into());
        let (program, arguments) = words.split_first().context("no sandbox")?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).current_dir(&copy);
        let done = command.output().with_context(|| {
            let name = program.to_string_lossy();
            format!("cannot start {name}")
        })?;
        if done.stdout != limited::WORKS.as_bytes() {
            let printed = String::from_utf8_lossy(&done.stderr);
            let first = printed.lines().next().unwrap_or("it ended without a message");
            bail!("{}", mjpeg_program::log::printable(first));
        }
        Ok(())
    }

    /// The words before the grader's command: a network of its own.
    pub fn grader(&self) -> Vec<OsString> {
        if self.kind == Kind::Limits {
            return Vec::new();
        }
        ["bwrap", "--unshare-net", "--die-with-parent", "--dev-bind", "/", "/", "--"]
            .map(OsString::from)
            .to_vec()
    }

    /// The words before a program's command.
    pub fn wrapper(&self, program: &Sandboxed) -> Vec<OsString> {
        let mut words: Vec<OsString> = Vec::new();
        let user = self.user(program.job).map(|user| user.to_string());
        let own = [self.program.as_os_str(), limited::NAME.as_ref()];
        if self.kind == Kind::Limits {
            words.extend(own.map(OsString::from));
            if let Some(user) = &user {
                // Nothing else runs as this user. Of ours, all processes would count.
                add(&mut words, &["--uid", user, "--tasks", &TASKS.to_string()]);
            }
        } else {
            if let Some(user) = &user {
                words.extend(own.map(OsString::from));
                add(&mut words, &["--uid", user, "--"]);
            }
            self.bubblewrap(&mut words, program);
        }
        let file = (program.bytes + WRITABLE).to_string();
        add(&mut words, &["--seconds", &SECONDS.to_string(), "--memory", &MEMORY.to_string()]);
        add(&mut words, &["--file", &file, "--"]);
        words
    }

    /// The words of the inner sandbox.
    fn bubblewrap(&self, words: &mut Vec<OsString>, program: &Sandboxed) {
        let inside = "/run/mjpeg-lab-check";
        let (size, shared) = ((program.bytes + WRITABLE).to_string(), SHARED.to_string());
        add(words, &["bwrap", "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts"]);
        add(
            words,
            &["--unshare-cgroup-try", "--uid", "1000", "--gid", "1000", "--cap-drop", "ALL"],
        );
        // A session of its own, so that it cannot open the terminal of the person who grades. Linux shares processors
        // among sessions first (sched(7), autogroup): one that computes much takes less from the others, and waits for
        // longer itself, for which its grader makes the limits longer.
        add(words, &["--die-with-parent", "--new-session", "--clearenv"]);
        for (name, value) in ENVIRONMENT {
            add(words, &["--setenv", name, value]);
        }
        words.extend(self.system.iter().cloned());
        bind(words, &self.program, inside.as_ref());
        bind(words, program.copy, "/submission".as_ref());
        add(words, &["--proc", "/proc", "--dev", "/dev"]);
        add(words, &["--size", &shared, "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]);
        add(words, &["--size", &size, "--tmpfs", "/tmp", "--size", &size, "--tmpfs", "/work"]);
        if let Some(folder) = program.shown {
            bind(words, folder, folder);
        }
        add(words, &["--chdir", "/work", "--remount-ro", "/", "--"]);
        add(words, &[inside, limited::NAME, "--copy", "/submission"]);
        // Inside, only the processes of this user namespace count.
        add(words, &["--tasks", &TASKS.to_string()]);
    }

    /// The user that a job's program runs as, if it is another one.
    fn user(&self, job: u16) -> Option<u32> {
        self.first_user.map(|first| first + u32::from(job))
    }

    /// Makes the user of a job's program the owner of a folder and everything in it.
    ///
    /// # Errors
    /// If the system does not allow it.
    pub fn give(&self, folder: &Path, job: u16) -> std::io::Result<()> {
        let Some(user) = self.user(job) else { return Ok(()) };
        chown(folder, Some(user), Some(user))?;
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                self.give(&entry.path(), job)?;
            } else {
                std::os::unix::fs::lchown(entry.path(), Some(user), Some(user))?;
            }
        }
        Ok(())
    }
}

/// The environment of a program.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("PATH", "/usr/local/bin:/usr/bin:/bin"),
    ("HOME", "/work"),
    ("TMPDIR", "/tmp"),
    ("LANG", "C.UTF-8"),
    ("PYTHONUNBUFFERED", "1"),
];

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    let context = || format!("cannot change who may read {}", path.display());
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).with_context(context)
}

/// The arguments of bubblewrap that show the system and some folders, for reading.
fn system(readable: &[PathBuf]) -> Result<Vec<OsString>> {
    let mut words: Vec<OsString> = Vec::new();
    bind(&mut words, "/usr".as_ref(), "/usr".as_ref());
    for folder in MERGED.map(Path::new) {
        if let Ok(target) = std::fs::read_link(folder) {
            words.extend(["--symlink".into(), target.into(), folder.into()]);
        } else if folder.is_dir() {
            bind(&mut words, folder, folder);
        }
    }
    let mut shown: Vec<PathBuf> = SYSTEM.iter().map(PathBuf::from).collect();
    // The configuration of Debian's Java.
    let entries = std::fs::read_dir("/etc").into_iter().flatten().flatten();
    let is_java = |name: OsString| name.as_encoded_bytes().starts_with(b"java");
    shown.extend(entries.filter(|it| is_java(it.file_name())).map(|it| it.path()));
    shown.sort();
    for path in shown {
        words.extend(["--ro-bind-try".into(), path.clone().into(), path.into()]);
    }
    for folder in readable {
        let path =
            folder.canonicalize().with_context(|| format!("--readable {}", folder.display()))?;
        if !path.is_dir() {
            bail!("--readable {}: not a folder", folder.display());
        }
        bind(&mut words, &path, &path);
    }
    Ok(words)
}
