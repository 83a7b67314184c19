// SPDX-License-Identifier: MIT OR Apache-2.0
//! Our programs as child processes, ended when dropped.

use crate::movies::{self, Folder};
use anyhow::{Context, Result, ensure};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

/// The folder in which cargo puts the programs and the plugin.
///
/// # Errors
/// If this process is not one of cargo's tests.
pub fn target_folder() -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    Ok(test.parent().and_then(Path::parent).context("no target folder")?.to_owned())
}

/// A program of ours, which `cargo build --workspace` has built.
///
/// # Errors
/// If it is not built.
pub fn program(name: &str) -> Result<Command> {
    let path = target_folder()?.join(name);
    ensure!(path.is_file(), "{} does not exist: run cargo build --workspace", path.display());
    let mut command = Command::new(path);
    if name == "mjpeg-rtsp-server" {
        // An empty configuration, instead of that of the machine.
        command.env("XDG_CONFIG_HOME", concat!(env!("CARGO_MANIFEST_DIR"), "/config"));
    }
    Ok(command)
}

/// A command that starts another one, in the environment of that one.
pub fn through(mut command: Command, other: &Command) -> Command {
    command.envs(other.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

/// Runs a command to its end.
///
/// # Errors
/// If it cannot be started or takes longer than `limit`.
pub fn run(command: &mut Command, limit: Duration) -> Result<Output> {
    let folder = tempfile::tempdir()?;
    let (out, err) = (folder.path().join("out"), folder.path().join("err"));
    let child = command
        .stdin(Stdio::null())
        .stdout(File::create(&out)?)
        .stderr(File::create(&err)?)
        .spawn()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    let mut child = Guard(child);
    let status = child.wait(limit);
    let (stdout, stderr) = (std::fs::read(out)?, std::fs::read(err)?);
    let text = String::from_utf8_lossy(&stderr).into_owned();
    let status = status.with_context(|| format!("{} {text}", command.get_program().display()))?;
    Ok(Output { status, stdout, stderr })
}

/// A child process, which is killed when dropped.
pub struct Guard(Child);

impl Guard {
    /// Guards a child process.
    pub fn new(child: Child) -> Self {
        Self(child)
    }

    /// Waits for the end of the process.
    ///
    /// # Errors
    /// If it does not end within `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let end = std::time::Instant::now() + limit;
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            ensure!(std::time::Instant::now() < end, "still running after {limit:?}");
            std::thread::sleep(super::POLL);
        }
    }

    /// The exit status of a process that has ended.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.0.try_wait()?)
    }

    /// The process's number.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Sends a signal, such as "TERM".
    ///
    /// # Errors
    /// If that fails.
    pub fn signal(&self, name: &str) -> Result<()> {
        let sent = Command::new("kill").args(["-s", name, &self.id().to_string()]).status()?;
        ensure!(sent.success(), "kill -s {name}");
        Ok(())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether a gst-launch-1.0 that plays RTSP has played to the end.
///
/// rtspsrc 1.22 sends PAUSE when it closes. If its connection is flushed meanwhile, it posts an
/// error, and gst-launch ends with 1: one run in hundreds, whatever the server.
pub fn has_played(done: &Output) -> bool {
    let log = String::from_utf8_lossy(&done.stderr);
    let errors = log.lines().filter(|line| line.starts_with("ERROR: from element")).count();
    let closing = log.contains("gst_rtspsrc_pause (): ") && errors == 2;
    done.status.success() || (closing && log.contains("Could not send message."))
}

/// Runs our client with `--headless --json`; returns its exit code, its summary and its standard
/// error.
///
/// # Errors
/// If it does not end, or prints no summary.
pub fn headless(arguments: &[&str]) -> Result<(Option<i32>, serde_json::Value, String)> {
    const LIMIT: Duration = Duration::from_mins(1);
    let mut command = program("mjpeg-rtsp-client")?;
    command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    // A busy machine may need more than the usual 5 s until the first frame.
    if !arguments.contains(&"--timeout") {
        command.args(["--timeout", "30"]);
    }
    let done = run(command.args(["--headless", "--json"]).args(arguments), LIMIT)?;
    let stderr = String::from_utf8_lossy(&done.stderr).into_owned();
    let summary = serde_json::from_slice(&done.stdout).with_context(|| stderr.clone())?;
    Ok((done.status.code(), summary, stderr))
}

/// A log or output without time stamps, with PORT for each number after the word "port" and with
/// each text of `names` replaced by its name.
pub fn normalized(output: &str, names: &[(&str, &str)]) -> String {
    let mut normalized = String::new();
    for line in output.lines() {
        // 2026-01-31T23:59:59.123456Z, and blanks up to the level.
        let line = match line.split_once("Z ") {
            Some((time, rest)) if time.len() == 26 && time.starts_with("20") => rest.trim_start(),
            _ => line,
        };
        let mut before = "";
        for word in line.split(' ') {
            let rest = word.trim_start_matches(|it: char| it.is_ascii_digit());
            let is_port = before == "port" && rest.len() < word.len();
            normalized += if is_port { "PORT" } else { "" };
            normalized += if is_port { rest } else { word };
            normalized.push(' ');
            before = word;
        }
        // In place of the last blank.
        normalized.pop();
        normalized.push('\n');
    }
    names.iter().fold(normalized, |output, (text, name)| output.replace(text, name))
}

/// A program in a terminal of its own, started by util-linux's `script`.
pub struct Terminal {
    process: Guard,
    keys: ChildStdin,
    screen: PathBuf,
    _folder: tempfile::TempDir,
}

impl Terminal {
    /// Starts a shell's command line.
    ///
    /// # Errors
    /// If that fails.
    pub fn start(line: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let screen = folder.path().join("screen");
        let mut child = Command::new("script")
            .args(["-qfec", line, "/dev/null"])
            .env_remove("DISPLAY")
            .env_remove("WAYLAND_DISPLAY")
            .stdin(Stdio::piped())
            .stdout(File::create(&screen)?)
            .spawn()
            .context("script (util-linux)")?;
        let keys = child.stdin.take().context("no standard input")?;
        Ok(Self { process: Guard(child), keys, screen, _folder: folder })
    }

    /// Types keys.
    ///
    /// # Errors
    /// If the program has ended.
    pub fn press(&mut self, keys: &str) -> Result<()> {
        self.keys.write_all(keys.as_bytes())?;
        Ok(self.keys.flush()?)
    }

    /// All output so far.
    ///
    /// # Errors
    /// If that cannot be read.
    pub fn shown(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&std::fs::read(&self.screen)?).into_owned())
    }

    /// The line that the program rewrites, as it is now.
    ///
    /// # Errors
    /// If that cannot be read.
    pub fn status_line(&self) -> Result<String> {
        Ok(self.shown()?.rsplit('\r').next().unwrap_or_default().to_owned())
    }

    /// Waits for the program's end.
    ///
    /// # Errors
    /// If it does not end within `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.process.wait(limit)
    }
}

/// Serves a movie of `frames` frames, `movie.mjpeg`, with the server's options.
///
/// # Errors
/// If the server does not start.
pub fn serve(frames: u32, options: &[&str]) -> Result<(Folder, Server)> {
    serve_as("movie.mjpeg", &movies::images(frames, "I420")?, options)
}

/// Serves a movie of images under a name, with the server's options.
///
/// # Errors
/// If the server does not start.
pub fn serve_as(name: &str, images: &[Vec<u8>], options: &[&str]) -> Result<(Folder, Server)> {
    let folder = Folder::new()?;
    let movie = folder.file(name, &movies::movie(images)?)?;
    let options = options.iter().map(OsStr::new).chain([movie.as_os_str()]);
    let server = Server::start(options, 1)?;
    Ok((folder, server))
}

/// A running `mjpeg-rtsp-server`.
pub struct Server {
    process: Guard,
    /// The URLs that the server has printed.
    pub urls: Vec<String>,
    log: PathBuf,
    _folder: tempfile::TempDir,
}

impl Server {
    /// Starts a server on a free port and waits for `urls` lines on its standard output.
    ///
    /// # Errors
    /// If it does not print them.
    pub fn start<S: AsRef<OsStr>>(
        arguments: impl IntoIterator<Item = S>,
        urls: usize,
    ) -> Result<Self> {
        Self::start_on("127.0.0.1:0", arguments, urls)
    }

    /// Starts a server on an address.
    ///
    /// # Errors
    /// If it does not print its URLs.
    pub fn start_on<S: AsRef<OsStr>>(
        listen: &str,
        arguments: impl IntoIterator<Item = S>,
        urls: usize,
    ) -> Result<Self> {
        let mut command = program("mjpeg-rtsp-server")?;
        Self::spawn(command.args(["--listen", listen]).args(arguments), urls)
    }

    /// Starts a server that panics on purpose at the border of this name.
    ///
    /// # Errors
    /// If it does not print its URLs.
    pub fn start_with_panic<S: AsRef<OsStr>>(
        border: &str,
        arguments: impl IntoIterator<Item = S>,
        urls: usize,
    ) -> Result<Self> {
        let mut command = program("mjpeg-rtsp-server")?;
        command.env("MJPEG_RTSP_PANIC_AT", border).args(["--listen", "127.0.0.1:0"]);
        Self::spawn(command.args(arguments), urls)
    }

    /// Starts a server that may have at most `files` files open.
    ///
    /// # Errors
    /// If it does not print its URLs.
    pub fn start_limited<S: AsRef<OsStr>>(
        files: u32,
        arguments: impl IntoIterator<Item = S>,
        urls: usize,
    ) -> Result<Self> {
        let server = program("mjpeg-rtsp-server")?;
        let mut command = through(Command::new("prlimit"), &server);
        command.arg(format!("--nofile={files}")).arg(server.get_program());
        command.args(["--listen", "127.0.0.1:0"]);
        Self::spawn(command.args(arguments), urls)
    }

    /// Starts a server by a command and waits for `urls` lines on its standard output.
    ///
    /// # Errors
    /// If it does not print them.
    pub fn spawn(command: &mut Command, urls: usize) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let log = folder.path().join("log");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .spawn()?;
        let out = child.stdout.take().context("no standard output")?;
        let process = Guard(child);
        let lines: Vec<String> =
            BufReader::new(out).lines().take(urls).collect::<Result<_, _>>()?;
        ensure!(lines.len() == urls, "{lines:?} {}", std::fs::read_to_string(&log)?);
        Ok(Self { process, urls: lines, log, _folder: folder })
    }

    /// The address in its first URL, such as `127.0.0.1:PORT`.
    ///
    /// # Errors
    /// If it has printed no URL.
    pub fn address(&self) -> Result<&str> {
        let url = self.urls.first().context("no URL")?;
        url.split('/').nth(2).context("no host")
    }

    /// The address at which it serves HTTP, such as `127.0.0.1:PORT`.
    ///
    /// # Errors
    /// If its log cannot be read.
    ///
    /// # Panics
    /// If it does not serve HTTP.
    pub fn http_address(&self) -> Result<String> {
        let line = "serving HTTP address=";
        self.wait_for_log(line, Duration::from_secs(20));
        let log = self.log()?;
        let address = log.split_once(line).and_then(|(_, rest)| rest.split_whitespace().next());
        Ok(address.context("no address")?.to_owned())
    }

    /// The log so far.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(&self.log)?)
    }

    /// Waits until `text` is in the log.
    ///
    /// # Panics
    /// If it is not within `limit`.
    pub fn wait_for_log(&self, text: &str, limit: Duration) {
        super::wait_until(text, limit, || self.log().is_ok_and(|log| log.contains(text)));
    }

    /// Number of its threads.
    ///
    /// # Errors
    /// If it has ended.
    pub fn threads(&self) -> Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/task", self.process.id()))?.count())
    }

    /// Number of its open files and sockets.
    ///
    /// # Errors
    /// If it has ended.
    pub fn files(&self) -> Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.process.id()))?.count())
    }

    /// The memory that it occupies, in bytes.
    ///
    /// # Errors
    /// If it has ended.
    pub fn memory(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes =
            line.and_then(|line| line.trim().strip_suffix(" kB")).context("no VmRSS")?;
        Ok(kilobytes.parse::<u64>()? * 1024)
    }

    /// The processor time that it has used.
    ///
    /// # Errors
    /// If it has ended.
    pub fn cpu_time(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        // After the name, which is in parentheses: utime and stime in hundredths of a second.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace();
        let ticks = fields.skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
        Ok(Duration::from_millis(10 * ticks))
    }

    /// The process.
    pub fn process(&mut self) -> &mut Guard {
        &mut self.process
    }

    /// Checks that the server runs and has logged nothing critical.
    ///
    /// # Errors
    /// If it has ended, or has logged a critical message or that events were in a wrong order.
    pub fn is_well(&mut self) -> Result<()> {
        if let Some(status) = self.process.0.try_wait()? {
            anyhow::bail!("the server has ended: {status}: {}", self.log()?);
        }
        let log = self.log()?;
        ensure!(!log.contains("CRITICAL") && !log.contains("misordering"), "{log}");
        Ok(())
    }
}
