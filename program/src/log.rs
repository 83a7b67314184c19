// SPDX-License-Identifier: MIT OR Apache-2.0
//! Standard error, written by a thread of its own.
//!
//! Whoever logs puts a line into a bounded queue and goes on. A line is lost when the queue is full
//! (nobody reads the other end of the pipe) or cannot be written (the reader has gone). Lost lines
//! are counted, and reported as soon as a line can be written again.

use crate::border::guarded;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Once, OnceLock};
use std::time::Duration;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;

/// Lines that wait to be written.
const QUEUE_LINES: usize = 4096;

/// Bytes that wait to be written.
const QUEUE_BYTES: usize = 4 * 1024 * 1024;

/// How long the end of a program, or a panic, waits for the lines before it.
const FLUSH: Duration = Duration::from_secs(1);

/// The queue of this process, once the log has been started.
static QUEUE: OnceLock<Queue> = OnceLock::new();

/// Whether GLib's messages become events of `tracing`; otherwise they are plain lines.
static EVENTS: AtomicBool = AtomicBool::new(false);

/// GLib takes a writer of messages once per process.
static WRITER: Once = Once::new();

enum Entry {
    Text(Vec<u8>),
    /// Everything before this has been written.
    Flush(SyncSender<()>),
}

#[derive(Debug, Default)]
struct Counts {
    /// Bytes in the queue.
    bytes: AtomicUsize,
    /// Lines that were lost.
    lost: AtomicU64,
}

struct Queue {
    entries: SyncSender<Entry>,
    counts: Arc<Counts>,
}

impl Queue {
    fn start(out: impl Write + Send + 'static) -> io::Result<Self> {
        let (entries, received) = sync_channel(QUEUE_LINES);
        let counts = Arc::new(Counts::default());
        let of_thread = counts.clone();
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_all(out, &received, &of_thread))?;
        Ok(Self { entries, counts })
    }

    fn push(&self, text: Vec<u8>) {
        let length = text.len();
        let waiting = self.counts.bytes.fetch_add(length, Ordering::Relaxed);
        let fits = waiting.saturating_add(length) <= QUEUE_BYTES;
        if !fits || self.entries.try_send(Entry::Text(text)).is_err() {
            self.counts.bytes.fetch_sub(length, Ordering::Relaxed);
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until everything pushed before has been written, for at most `limit`.
    fn flush(&self, limit: Duration) {
        let (done, flushed) = sync_channel(1);
        // A full queue is one that nobody reads: there is nothing to wait for.
        match self.entries.try_send(Entry::Flush(done)) {
            Ok(()) => drop(flushed.recv_timeout(limit)),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }
}

/// The log's thread.
fn write_all(mut out: impl Write, entries: &Receiver<Entry>, counts: &Counts) {
    let mut reported = 0;
    while let Ok(entry) = entries.recv() {
        match entry {
            Entry::Text(text) => {
                counts.bytes.fetch_sub(text.len(), Ordering::Relaxed);
                let lost = counts.lost.load(Ordering::Relaxed);
                if lost > reported {
                    let lines = lost - reported;
                    if writeln!(out, "({lines} lines of this log were lost)").is_ok() {
                        reported = lost;
                    }
                }
                if out.write_all(&text).and_then(|()| out.flush()).is_err() {
                    counts.lost.fetch_add(1, Ordering::Relaxed);
                }
            }
            Entry::Flush(done) => drop(done.try_send(())),
        }
    }
}

/// One event's text on its way into the queue.
#[derive(Debug, Clone, Copy)]
struct ToQueue;

impl Write for ToQueue {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        write(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for ToQueue {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}

/// A started log; what it holds is written before it is dropped, unless that takes longer
/// than a second.
#[derive(Debug)]
#[must_use = "the last lines are written when this is dropped"]
pub struct Log(());

/// How lines of the log look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lines {
    /// Each with the time.
    Timed,
    /// Without it: for programs that a person watches.
    Plain,
}

impl Log {
    /// Sends this process's log to standard error, coloured only on a terminal: what `tracing`
    /// has and `filter` lets through, GLib's and GStreamer's own messages, and panics with their
    /// backtraces.
    ///
    /// # Errors
    /// If the system has no thread left.
    pub fn start(filter: Targets, lines: Lines) -> io::Result<Self> {
        let log = Self::plain()?;
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(ToQueue)
            .with_ansi(io::stderr().is_terminal())
            .with_target(false);
        let layer = match lines {
            Lines::Timed => layer.boxed(),
            Lines::Plain => layer.without_time().boxed(),
        };
        tracing_subscriber::registry().with(layer.with_filter(filter)).init();
        EVENTS.store(true, Ordering::Relaxed);
        std::panic::set_hook(Box::new(|panic| {
            tracing::error!("{}", crate::border::describe(panic));
            flush();
        }));
        Ok(log)
    }

    /// The same for a program without events: what [`say`] and [`write()`] are given, and GLib's
    /// and GStreamer's warnings.
    ///
    /// # Errors
    /// If the system has no thread left.
    pub fn plain() -> io::Result<Self> {
        if QUEUE.get().is_none() {
            // Another thread's queue that came first is as good.
            let _ = QUEUE.set(Queue::start(io::stderr())?);
        }
        WRITER.call_once(|| glib::log_set_writer_func(take_message));
        std::panic::set_hook(Box::new(|panic| {
            say(&crate::border::describe(panic));
            flush();
        }));
        Ok(Self(()))
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        flush();
    }
}

/// Waits until everything logged before has been written, for at most a second.
pub fn flush() {
    if let Some(queue) = QUEUE.get() {
        queue.flush(FLUSH);
    }
}

/// Puts a line on standard error.
pub fn say(text: &str) {
    let mut line = String::with_capacity(text.len() + 1);
    // Writing to a String does not fail.
    let _ = writeln!(line, "{text}");
    write(line.as_bytes());
}

/// Puts bytes on standard error, as they are. Without a started log they are written here, and an
/// error is ignored.
pub fn write(text: &[u8]) {
    match QUEUE.get() {
        Some(queue) => queue.push(text.to_vec()),
        None => drop(io::stderr().write_all(text)),
    }
}

/// A message of GLib's or GStreamer's. A panic must not reach GLib: it costs the message.
fn take_message(level: glib::LogLevel, fields: &[glib::LogField<'_>]) -> glib::LogWriterOutput {
    use glib::LogLevel::{Critical, Error, Warning};
    let _ = guarded("glib-log", || {
        let domain = field(fields, "GLIB_DOMAIN").unwrap_or_else(|| "GLib".to_owned());
        let text = field(fields, "MESSAGE").unwrap_or_default();
        if EVENTS.load(Ordering::Relaxed) {
            log_event(level, &domain, &text);
        } else if matches!(level, Error | Critical | Warning) {
            say(&format!("{domain}: {text}"));
        }
    });
    glib::LogWriterOutput::Handled
}

fn log_event(level: glib::LogLevel, domain: &str, text: &str) {
    match level {
        glib::LogLevel::Error => tracing::error!("{domain}-ERROR: {text}"),
        glib::LogLevel::Critical => tracing::error!("{domain}-CRITICAL: {text}"),
        glib::LogLevel::Warning => tracing::warn!("{domain}-WARNING: {text}"),
        glib::LogLevel::Message => tracing::info!("{domain}: {text}"),
        glib::LogLevel::Info | glib::LogLevel::Debug => tracing::debug!("{domain}: {text}"),
    }
}

/// The value of a message's field. It can contain a peer's bytes, which are neither always UTF-8
/// nor harmless on a terminal.
fn field(fields: &[glib::LogField<'_>], key: &str) -> Option<String> {
    let field = fields.iter().find(|field| field.key() == key)?;
    Some(printable(&String::from_utf8_lossy(field.value_bytes()?)))
}

/// Escapes what controls a terminal, or changes the direction of the text after it.
fn printable(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, char| {
        let control = char.is_control() && !matches!(char, '\t' | '\n');
        if control || matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            out.extend(char.escape_unicode());
        } else {
            out.push(char);
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use glib::LogField;
    use glib::gstr;
    use std::sync::Mutex;
    use std::sync::mpsc::Sender;

    #[test]
    fn a_field_is_text_that_does_nothing_to_a_terminal() {
        let rows: [(&str, &[u8], &str); 6] = [
            ("text", "5 µs\tof\nall".as_bytes(), "5 µs\tof\nall"),
            ("not UTF-8", b"rtsp://h/x\xff", "rtsp://h/x\u{fffd}"),
            ("escape sequence", b"\x1b[2J", "\\u{1b}[2J"),
            ("C0 and DEL", b"a\r\x07\x7f", "a\\u{d}\\u{7}\\u{7f}"),
            ("C1", "\u{9b}2J".as_bytes(), "\\u{9b}2J"),
            ("right to left", "\u{202e}\u{2067}x".as_bytes(), "\\u{202e}\\u{2067}x"),
        ];
        for (name, bytes, want) in rows {
            let fields = [
                LogField::new(gstr!("PRIORITY"), b"4"),
                LogField::new(gstr!("MESSAGE"), bytes),
                LogField::new_user_data(gstr!("GLIB_DOMAIN"), 1),
            ];
            assert_eq!(field(&fields, "MESSAGE").as_deref(), Some(want), "{name}");
            assert_eq!(field(&fields, "GLIB_DOMAIN"), None, "it is no text");
            assert_eq!(field(&fields, "CODE_FILE"), None, "it is missing");
        }
    }

    /// Takes what is written once the test lets it.
    struct Gate {
        begun: Sender<()>,
        open: Receiver<()>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Gate {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            let _ = self.begun.send(());
            // Once the sender is gone, everything passes.
            let _ = self.open.recv();
            self.written.lock().unwrap().extend(text);
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_log_that_is_not_read_loses_lines_and_says_how_many() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let ((begun, begins), (opens, open)) =
            (std::sync::mpsc::channel(), std::sync::mpsc::channel());
        let queue = Queue::start(Gate { begun, open, written: written.clone() }).unwrap();
        queue.push(b"first\n".to_vec());
        // It hangs in the first line from now on.
        begins.recv().unwrap();
        let over = 7;
        for number in 0..QUEUE_LINES + over {
            queue.push(format!("{number}\n").into_bytes());
        }
        assert_eq!(queue.counts.lost.load(Ordering::Relaxed), over as u64);
        // A full queue does not hold up whoever wants it written.
        queue.flush(Duration::from_mins(1));
        drop(opens);
        while queue.counts.bytes.load(Ordering::Relaxed) > 0 {
            std::thread::yield_now();
        }
        queue.push(b"last\n".to_vec());
        queue.flush(Duration::from_mins(1));
        let written = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        let mut want = "first\n(7 lines of this log were lost)\n".to_owned();
        for number in 0..QUEUE_LINES {
            writeln!(want, "{number}").unwrap();
        }
        want += "last\n";
        assert_eq!(written, want);
    }

    #[test]
    fn lines_that_are_too_large_together_are_lost() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let ((begun, begins), (opens, open)) =
            (std::sync::mpsc::channel(), std::sync::mpsc::channel());
        let queue = Queue::start(Gate { begun, open, written }).unwrap();
        queue.push(b"first\n".to_vec());
        begins.recv().unwrap();
        for _ in 0..5 {
            queue.push(vec![b'x'; QUEUE_BYTES / 4]);
        }
        assert_eq!(queue.counts.lost.load(Ordering::Relaxed), 1);
        drop(opens);
    }

    /// A pipe whose reader has gone.
    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_ends_nothing() {
        let queue = Queue::start(Closed).unwrap();
        for _ in 0..3 {
            queue.push(b"line\n".to_vec());
            queue.flush(Duration::from_mins(1));
        }
        assert_eq!(queue.counts.lost.load(Ordering::Relaxed), 3);
    }
}
