// SPDX-License-Identifier: MIT OR Apache-2.0
//! The program that is graded, as a child process: in a process group of its own, with bounded output, and
//! ended for sure, with all that it has started.

use crate::processes::{Process, ProcessorTime, processes, processor_time};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::Pid;
use serde::Serialize;
use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How much is kept of the start and of the end of a program's output, in bytes.
const KEPT: usize = 8 * 1024;

/// How long a program may take to end after SIGTERM.
const GRACE: Duration = Duration::from_millis(300);

/// How long processes are searched and killed.
const KILL_TIME: Duration = Duration::from_secs(5);

/// How much of a program's output is read at full speed, in bytes.
const FAST: u64 = 4 * 1024 * 1024;

/// The pause after each read of a program that prints or sends endlessly: it does not occupy a core of ours.
pub const PAUSE: Duration = Duration::from_millis(2);

/// How long the rest of the output of a program that has been ended is read. A process that was not found may keep the
/// pipe open.
const REST_TIME: Duration = Duration::from_secs(1);

/// Time between two checks of a process; the longest one between two searches for processes that do not end.
const POLL: Duration = Duration::from_millis(10);
const MAX_PAUSE: Duration = Duration::from_millis(160);

/// Why a command line cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// A quotation mark is not closed.
    #[error("the command line has a quote without end: {0}")]
    Quote(String),
    /// It names no program.
    #[error("the command line is empty")]
    Empty,
    /// Braces with another word.
    #[error("the command line has {{{found}}}; known are {known}")]
    Placeholder {
        /// The word in braces.
        found: String,
        /// The known ones.
        known: String,
    },
    /// The system cannot start it.
    #[error("cannot start {program}")]
    Start {
        /// The program.
        program: String,
        /// The error of the operating system.
        source: io::Error,
    },
}

/// A command line, split into words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine(Vec<String>);

impl CommandLine {
    /// Splits a command line as a shell does, by blanks and quotes, and replaces names in braces. No
    /// shell is started.
    ///
    /// # Errors
    /// See [`LaunchError`].
    pub fn parse(line: &str, values: &[(&str, &str)]) -> Result<Self, LaunchError> {
        let words = split(line).ok_or_else(|| LaunchError::Quote(line.to_owned()))?;
        if words.is_empty() {
            return Err(LaunchError::Empty);
        }
        let fill = |word: &String| fill(word, values);
        Ok(Self(words.iter().map(fill).collect::<Result<_, _>>()?))
    }

    /// The words.
    pub fn words(&self) -> &[String] {
        &self.0
    }

    /// The words, with blanks between them.
    pub fn shown(&self) -> String {
        self.0.join(" ")
    }
}

fn split(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(char) = chars.next() {
        match (char, quote) {
            (char, Some(end)) if char == end => quote = None,
            ('\\', None | Some('"')) => word.get_or_insert_default().push(chars.next()?),
            ('\'' | '"', None) => {
                quote = Some(char);
                word.get_or_insert_default();
            }
            (char, None) if char.is_whitespace() => words.extend(word.take()),
            (char, _) => word.get_or_insert_default().push(char),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

/// Replaces each name in braces.
fn fill(word: &str, values: &[(&str, &str)]) -> Result<String, LaunchError> {
    let mut filled = String::new();
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else { break };
        let Some((_, value)) = values.iter().find(|(known, _)| *known == name) else {
            let known: Vec<String> = values.iter().map(|(name, _)| format!("{{{name}}}")).collect();
            return Err(LaunchError::Placeholder {
                found: name.to_owned(),
                known: known.join(", "),
            });
        };
        filled += before;
        filled += value;
        rest = after;
    }
    Ok(filled + rest)
}

/// The bounded output of a program.
#[derive(Debug, Default)]
struct Captured {
    start: Vec<u8>,
    end: VecDeque<u8>,
    total: u64,
}

impl Captured {
    fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let to_start = KEPT.saturating_sub(self.start.len()).min(bytes.len());
        let (first, rest) = bytes.split_at_checked(to_start).unwrap_or((bytes, &[]));
        self.start.extend_from_slice(first);
        let rest = rest.get(rest.len().saturating_sub(KEPT)..).unwrap_or_default();
        self.end.extend(rest);
        let over = self.end.len().saturating_sub(KEPT);
        self.end.drain(..over);
    }

    fn text(&self) -> String {
        let dropped = self.total - self.start.len() as u64 - self.end.len() as u64;
        let end: Vec<u8> = self.end.iter().copied().collect();
        let mut bytes = self.start.clone();
        if dropped > 0 {
            bytes.extend(format!("\n[{dropped} bytes left out]\n").bytes());
        }
        bytes.extend(end);
        mjpeg_program::log::printable(&String::from_utf8_lossy(&bytes).replace("\r\n", "\n"))
    }
}

/// What a program printed, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProgramOutput {
    /// The command line.
    pub command: String,
    /// The start and the end of its output, standard error too; printable.
    pub text: String,
    /// The number of bytes that it printed.
    pub bytes: u64,
    /// How it ended by itself, such as `exit code 1`. `None` if it ran until we ended it.
    pub ended: Option<String>,
}

/// What a program is started with besides its command line.
#[derive(Debug, Clone, Default)]
pub struct LaunchOptions {
    /// The words of a program that starts it. Reports do not show them.
    pub wrapper: Vec<OsString>,
    /// Environment variables that are set.
    pub variables: Vec<(OsString, OsString)>,
    /// Environment variables that are removed.
    pub removed: Vec<OsString>,
    /// Whether it runs in a terminal of its own.
    pub terminal: bool,
}

impl LaunchOptions {
    /// The same with a program that starts the program, such as a sandbox. It may clear the environment, so
    /// `env` sets the variables after it.
    #[must_use]
    pub fn within(mut self, wrapper: &[OsString]) -> Self {
        if wrapper.is_empty() {
            return self;
        }
        self.wrapper = wrapper.to_vec();
        if !self.variables.is_empty() {
            self.wrapper.push("env".into());
            let variable = |(name, value): (OsString, OsString)| {
                let mut word = name;
                word.push("=");
                word.push(value);
                word
            };
            self.wrapper.extend(self.variables.drain(..).map(variable));
        }
        self
    }
}

/// The size of the terminal of a program.
const TERMINAL: Winsize = Winsize { ws_row: 40, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };

/// Types into the terminal in which a program runs.
#[derive(Debug)]
pub struct TerminalInput(File);

impl TerminalInput {
    /// Types.
    ///
    /// # Errors
    /// If the terminal is gone.
    pub fn write(&mut self, keys: &[u8]) -> io::Result<()> {
        self.0.write_all(keys)
    }

    /// Whether the program reads single keys, and not lines.
    pub fn is_raw(&self) -> bool {
        tcgetattr(&self.0).is_ok_and(|it| !it.local_flags.contains(LocalFlags::ICANON))
    }
}

/// A running program. It is ended when dropped.
#[derive(Debug)]
pub struct Program {
    command: String,
    child: Child,
    group: Pid,
    captured: Arc<Mutex<Captured>>,
    /// Reads the output until its end.
    reader: JoinHandle<()>,
    /// Whether the program's orphans become children of this process.
    adopts: bool,
    /// Processes that it has started, with the times of their start: orphans are found by these.
    known: BTreeSet<(i32, u64)>,
    ended: Option<ExitStatus>,
    terminal: Option<TerminalInput>,
}

impl Program {
    /// Starts a program. Its standard input is empty.
    ///
    /// # Errors
    /// If the system cannot start it.
    pub fn start(line: &CommandLine, folder: Option<&PathBuf>) -> Result<Self, LaunchError> {
        Self::start_in(line, folder, &LaunchOptions::default())
    }

    /// Starts a program with these options. Its standard input is empty, unless it has a terminal.
    ///
    /// # Errors
    /// If the system cannot start it.
    pub fn start_in(
        line: &CommandLine,
        folder: Option<&PathBuf>,
        launch_options: &LaunchOptions,
    ) -> Result<Self, LaunchError> {
        let own = line.0.iter().map(OsString::from);
        let words: Vec<OsString> = launch_options.wrapper.iter().cloned().chain(own).collect();
        let (name, arguments) = words.split_first().ok_or(LaunchError::Empty)?;
        let shown = name.to_string_lossy();
        let failed = |source| LaunchError::Start { program: shown.to_string(), source };
        let mut command = Command::new(name);
        command.args(arguments).stdin(Stdio::null()).process_group(0);
        // Python shows what a program has printed only when it ends, unless this is set.
        command.env("PYTHONUNBUFFERED", "1");
        for name in &launch_options.removed {
            command.env_remove(name);
        }
        command.envs(launch_options.variables.iter().map(|(name, value)| (name, value)));
        if let Some(folder) = folder {
            command.current_dir(folder);
        }
        let (output, terminal) = if launch_options.terminal {
            let pair = openpty(&TERMINAL, None).map_err(|it| failed(it.into()))?;
            // Copies are not inherited by child processes; the pair would be, and is dropped here.
            let copy = |of: &OwnedFd| of.try_clone().map_err(failed);
            command.stdin(copy(&pair.slave)?).stdout(copy(&pair.slave)?).stderr(copy(&pair.slave)?);
            let input = TerminalInput(copy(&pair.master)?.into());
            (Box::new(File::from(copy(&pair.master)?)) as Box<dyn Read + Send>, Some(input))
        } else {
            let (output, input) = io::pipe().map_err(failed)?;
            command.stdout(input.try_clone().map_err(failed)?).stderr(input);
            (Box::new(output) as Box<dyn Read + Send>, None)
        };
        let child = command.spawn().map_err(failed)?;
        // The command has the writing end of the pipe, or the other end of the terminal.
        drop(command);
        let captured: Arc<Mutex<Captured>> = Arc::default();
        let target = captured.clone();
        let read = move || capture(output, &target);
        let reader = std::thread::Builder::new().name("program-output".to_owned());
        let reader = reader.spawn(read).map_err(failed)?;
        let group = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
        let command = line.shown();
        let adopts = nix::sys::prctl::get_child_subreaper().unwrap_or(false);
        let known = BTreeSet::new();
        let ended = None;
        Ok(Self { command, child, group, captured, reader, adopts, known, ended, terminal })
    }

    /// The input of its terminal, if it has one that has not been taken yet.
    pub fn terminal(&mut self) -> Option<TerminalInput> {
        self.terminal.take()
    }

    /// What it has printed so far: the start and the end; printable.
    pub fn printed(&self) -> String {
        self.captured.lock().unwrap_or_else(PoisonError::into_inner).text()
    }

    /// The time of processors that it and what it has started have got, and have waited for.
    pub fn processor_time(&self) -> ProcessorTime {
        processor_time(self.child.id())
    }

    /// How the program has ended, if it has.
    pub fn has_ended(&mut self) -> Option<String> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended.map(describe)
    }

    /// Ends the program and all that it has started, and returns what it printed.
    pub fn end(mut self) -> ProgramOutput {
        let ended = self.has_ended();
        self.kill();
        let end = Instant::now() + REST_TIME;
        while !self.reader.is_finished() && Instant::now() < end {
            std::thread::sleep(POLL);
        }
        let captured = self.captured.lock().unwrap_or_else(PoisonError::into_inner);
        let command = mjpeg_program::log::printable(&self.command);
        ProgramOutput { command, text: captured.text(), bytes: captured.total, ended }
    }

    fn kill(&mut self) {
        // The children of a process are not known any more when it has ended.
        self.processes();
        // Errors mean that the processes are gone.
        let _ = killpg(self.group, Signal::SIGTERM);
        let end = Instant::now() + GRACE;
        while self.has_ended().is_none() && Instant::now() < end {
            std::thread::sleep(POLL);
        }
        let end = Instant::now() + KILL_TIME;
        let mut pause = POLL;
        // Children that appear meanwhile are found by the next search.
        while Instant::now() < end {
            let left = self.processes();
            let _ = killpg(self.group, Signal::SIGKILL);
            for process in &left {
                let _ = kill(*process, Signal::SIGKILL);
            }
            if self.has_ended().is_some() && left.is_empty() {
                return;
            }
            std::thread::sleep(pause);
            // Looking at all processes delays their ends.
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }

    /// The running processes that the program has started and that can be found: those of its
    /// group and session, their descendants, those that were found before, and orphans that became our
    /// children.
    fn processes(&mut self) -> Vec<Pid> {
        let group = self.group.as_raw();
        let own = nix::unistd::getpid().as_raw();
        let all = processes();
        let spared = SPARED.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let is_own = |it: &&Process| {
            let is_orphan = self.adopts && it.parent == own && !spared.contains(&it.id);
            it.group == group
                || it.session == group
                || it.parent == group
                || is_orphan
                || self.known.contains(&(it.id, it.start))
        };
        let mut found: BTreeSet<i32> = all.iter().filter(is_own).map(|it| it.id).collect();
        loop {
            let before = found.len();
            let more = all.iter().filter(|it| found.contains(&it.parent)).map(|it| it.id);
            let more: Vec<i32> = more.collect();
            found.extend(more);
            if found.len() == before {
                break;
            }
        }
        found.remove(&own);
        let mut left = Vec::new();
        for process in all.iter().filter(|it| found.contains(&it.id)) {
            self.known.insert((process.id, process.start));
            let pid = Pid::from_raw(process.id);
            if !process.is_zombie {
                left.push(pid);
            } else if process.id != group && process.parent == own {
                // An orphan that became our child and has ended.
                let flags = nix::sys::wait::WaitPidFlag::WNOHANG;
                let _ = nix::sys::wait::waitpid(pid, Some(flags));
            }
        }
        left
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => match Signal::try_from(signal) {
            Ok(signal) => format!("signal {signal}"),
            Err(_) => format!("signal {signal}"),
        },
        (None, None) => "no exit code".to_owned(),
    }
}

fn capture(mut output: impl Read, captured: &Mutex<Captured>) {
    let mut buffer = vec![0; 32 * 1024];
    loop {
        match output.read(&mut buffer) {
            Ok(0) => return,
            Ok(have) => {
                let bytes = buffer.get(..have).unwrap_or_default();
                let mut captured = captured.lock().unwrap_or_else(PoisonError::into_inner);
                captured.push(bytes);
                let is_flood = captured.total > FAST;
                drop(captured);
                if is_flood {
                    std::thread::sleep(PAUSE);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// Child processes of ours that are not orphans of a graded program.
static SPARED: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// Spares a child process of ours when a graded program is ended with its orphans.
pub fn spare(child: &Child) {
    let id = i32::try_from(child.id()).unwrap_or(i32::MAX);
    SPARED.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
}

/// Ends all programs at once, with what they have started. For the end of this process.
pub fn end_all() {
    let own = nix::unistd::getpid().as_raw();
    let end = Instant::now() + KILL_TIME;
    loop {
        let all = processes();
        let mut found: BTreeSet<i32> = BTreeSet::from([own]);
        loop {
            let before = found.len();
            let more: Vec<i32> =
                all.iter().filter(|it| found.contains(&it.parent)).map(|it| it.id).collect();
            found.extend(more);
            if found.len() == before {
                break;
            }
        }
        let left = all.iter().filter(|it| found.contains(&it.id) && it.id != own && !it.is_zombie);
        let left: Vec<i32> = left.map(|it| it.id).collect();
        for process in &left {
            // Errors mean that the process is gone.
            let _ = kill(Pid::from_raw(*process), Signal::SIGKILL);
        }
        if left.is_empty() || Instant::now() >= end {
            return;
        }
        std::thread::sleep(POLL);
    }
}

/// Makes orphans of all child processes children of this process, so that they can be found and ended. For
/// a process that grades one program.
pub fn adopt_orphans() {
    // Without it, orphans that leave the group and the session are not found.
    let _ = nix::sys::prctl::set_child_subreaper(true);
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: [(&str, &str); 2] = [("port", "8554"), ("movie", "my movie.Mjpeg")];

    #[test]
    fn command_lines_are_split_and_filled() {
        let rows: [(&str, &[&str]); 5] = [
            ("python3 Server.py {port}", &["python3", "Server.py", "8554"]),
            (" a  'b c' \"d 'e\" f\\ g ", &["a", "b c", "d 'e", "f g"]),
            ("x --movie={movie} ''", &["x", "--movie=my movie.Mjpeg", ""]),
            ("java -cp a:b Server {port}{port}", &["java", "-cp", "a:b", "Server", "85548554"]),
            ("x { {port", &["x", "{", "{port"]),
        ];
        for (line, want) in rows {
            let words = CommandLine::parse(line, &VALUES).unwrap().0;
            assert_eq!(words, want, "{line}");
        }
        let rows = [
            ("", "the command line is empty"),
            ("a 'b", "the command line has a quote without end: a 'b"),
            ("a {host}", "the command line has {host}; known are {port}, {movie}"),
        ];
        for (line, want) in rows {
            assert_eq!(CommandLine::parse(line, &VALUES).unwrap_err().to_string(), want);
        }
    }

    #[test]
    fn start_and_end_of_long_output_are_kept() {
        let mut captured = Captured::default();
        for byte in 0..100_u8 {
            captured.push(&[b'a' + byte % 26; 1000]);
        }
        captured.push(b"\x1b[2Jend");
        let text = captured.text();
        assert!(text.starts_with("aaa") && text.ends_with("\\u{1b}[2Jend"), "{text}");
        assert!(text.contains("\n[83623 bytes left out]\n"), "{text}");
        assert!(text.len() < 3 * KEPT);
    }

    #[test]
    fn what_a_program_prints_last_is_kept() {
        // So much that it is read slowly.
        let script = format!("head -c {} /dev/zero | tr '\\0' x; printf last", FAST + 64 * 1024);
        let line = CommandLine(vec!["sh".to_owned(), "-c".to_owned(), script]);
        for round in 0..10 {
            let mut program = Program::start(&line, None).unwrap();
            let end = Instant::now() + Duration::from_secs(20);
            while program.has_ended().is_none() {
                assert!(Instant::now() < end, "the program runs on");
            }
            let output = program.end();
            assert!(output.text.ends_with("xlast"), "round {round}: {} bytes", output.bytes);
        }
    }

    #[test]
    fn a_program_is_ended_with_all_that_it_has_started() {
        // It ignores SIGTERM, and its child leaves the group.
        let script = "trap '' TERM; setsid sleep 1000 & echo $!; wait";
        let line = CommandLine(vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()]);
        let program = Program::start(&line, None).unwrap();
        let end = Instant::now() + Duration::from_secs(20);
        let started = loop {
            let text = program.captured.lock().unwrap().text();
            if text.ends_with('\n') {
                break text.trim().parse::<i32>().unwrap();
            }
            assert!(Instant::now() < end, "the program printed {text:?}");
            std::thread::sleep(POLL);
        };
        let output = program.end();
        assert_eq!((output.ended, output.bytes > 1), (None, true));
        let alive = processes().into_iter().any(|it| it.id == started && !it.is_zombie);
        assert!(!alive, "process {started} is alive");
    }
}
