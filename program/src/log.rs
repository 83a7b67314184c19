// SPDX-License-Identifier: MIT OR Apache-2.0
//! Standard error, written by a thread of its own.
//!
//! Logging puts a line into a bounded queue and returns at once. A line is lost if the queue is full
//! (the other end of the pipe is not read) or the line cannot be written (the reader has closed the
//! pipe). Lost lines are counted, and reported as soon as a line can be written again.

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

/// Most lines that wait in the queue.
const QUEUE_LINES: usize = 4096;

/// Most bytes that wait in the queue.
const QUEUE_BYTES: usize = 4 * 1024 * 1024;

/// Longest wait, at the end of the program or after a panic, until the queue has been written.
const FLUSH: Duration = Duration::from_secs(1);

/// The queue of this process; empty until the log is started.
static QUEUE: OnceLock<Queue> = OnceLock::new();

/// Whether GLib's messages are logged as `tracing` events; otherwise as plain lines.
static EVENTS: AtomicBool = AtomicBool::new(false);

/// Whether each line is a JSON object.
static JSON: AtomicBool = AtomicBool::new(false);

/// GLib accepts one log writer per process.
static WRITER: Once = Once::new();

/// Messages of GStreamer 1.22 that do not concern users: domain and text.
/// They are logged at the level debug.
const HARMLESS: [(&str, &str); 1] = [
    // A session of rtspsrc is stopped while its first packet makes a pad (gst_rtspsrc_update_src_event
    // and the change from PAUSED to READY). The events keep the number that they have.
    ("GStreamer", "gst_event_set_seqnum: assertion 'seqnum != GST_SEQNUM_INVALID' failed"),
];

enum Entry {
    Text(Vec<u8>),
    /// A request for a signal as soon as all entries before it are written.
    Flush(SyncSender<()>),
}

#[derive(Debug, Default)]
struct Counts {
    /// Bytes in the queue.
    bytes: AtomicUsize,
    /// Lines lost since the start.
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
        let thread_counts = counts.clone();
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_all(out, &received, &thread_counts))?;
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

    /// Waits until everything pushed so far is written, for at most `limit`.
    fn flush(&self, limit: Duration) {
        let (done, flushed) = sync_channel(1);
        // If the queue is full, standard error is not read: waiting is useless.
        match self.entries.try_send(Entry::Flush(done)) {
            Ok(()) => drop(flushed.recv_timeout(limit)),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }
}

/// The log's thread: writes the entries as they arrive.
fn write_all(mut out: impl Write, entries: &Receiver<Entry>, counts: &Counts) {
    let mut reported = 0;
    while let Ok(entry) = entries.recv() {
        match entry {
            Entry::Text(text) => {
                counts.bytes.fetch_sub(text.len(), Ordering::Relaxed);
                let lost = counts.lost.load(Ordering::Relaxed);
                if lost > reported {
                    let lines = lost - reported;
                    let message = format!("{lines} lines of this log were lost");
                    let written = if JSON.load(Ordering::Relaxed) {
                        writeln!(out, r#"{{"level":"WARN","message":"{message}"}}"#)
                    } else {
                        writeln!(out, "({message})")
                    };
                    if written.is_ok() {
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

/// Writes the text of events to the queue.
#[derive(Debug, Clone, Copy)]
struct QueueWriter;

impl Write for QueueWriter {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        write(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for QueueWriter {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}

/// A started log. Dropping it writes the lines that are still in the queue, for at most a second.
#[derive(Debug)]
#[must_use = "dropping it writes the last lines"]
pub struct Log(());

/// Whether lines of the log start with the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineFormat {
    /// With the time, for programs that run unattended.
    Timestamped,
    /// Without the time, for programs that a person watches.
    Plain,
    /// As JSON objects with the time, for programs that collect logs.
    Json,
}

impl Log {
    /// Starts to log to standard error, with colours only on a terminal: the `tracing` events that
    /// `filter` lets through, GLib's and GStreamer's own messages, and panics with their backtraces.
    ///
    /// # Errors
    /// If the system has no thread left.
    pub fn start(filter: Targets, format: LineFormat) -> io::Result<Self> {
        let log = Self::plain()?;
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(QueueWriter)
            .with_ansi(format != LineFormat::Json && io::stderr().is_terminal())
            .with_target(false);
        JSON.store(format == LineFormat::Json, Ordering::Relaxed);
        let layer = match format {
            LineFormat::Timestamped => layer.boxed(),
            LineFormat::Plain => layer.without_time().boxed(),
            LineFormat::Json => layer.json().flatten_event(true).boxed(),
        };
        tracing_subscriber::registry().with(layer.with_filter(filter)).init();
        EVENTS.store(true, Ordering::Relaxed);
        std::panic::set_hook(Box::new(|panic| {
            tracing::error!("{}", crate::border::describe(panic));
            flush();
        }));
        Ok(log)
    }

    /// Starts to log without `tracing` events: the output of [`say`] and [`write()`], GLib's and
    /// GStreamer's warnings, and panics.
    ///
    /// # Errors
    /// If the system has no thread left.
    pub fn plain() -> io::Result<Self> {
        if QUEUE.get().is_none() {
            // If another thread was faster, its queue is used.
            let _ = QUEUE.set(Queue::start(io::stderr())?);
        }
        WRITER.call_once(|| glib::log_set_writer_func(log_glib_message));
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

/// Waits until everything logged so far is written, for at most a second.
pub fn flush() {
    if let Some(queue) = QUEUE.get() {
        queue.flush(FLUSH);
    }
}

/// Writes a line to standard error.
pub fn say(text: &str) {
    let mut line = String::with_capacity(text.len() + 1);
    // Writing to a String does not fail.
    let _ = writeln!(line, "{text}");
    write(line.as_bytes());
}

/// Writes bytes to standard error, unchanged. Before the log is started they are written by the
/// calling thread, and an error is ignored.
pub fn write(text: &[u8]) {
    match QUEUE.get() {
        Some(queue) => queue.push(text.to_vec()),
        None => drop(io::stderr().write_all(text)),
    }
}

/// Logs a message of GLib or GStreamer. A panic must not reach GLib; it loses the message.
fn log_glib_message(level: glib::LogLevel, fields: &[glib::LogField<'_>]) -> glib::LogWriterOutput {
    use glib::LogLevel::{Critical, Error, Warning};
    let _ = guarded("glib-log", || {
        let domain = field(fields, "GLIB_DOMAIN").unwrap_or_else(|| "GLib".to_owned());
        let text = field(fields, "MESSAGE").unwrap_or_default();
        let level = level_of(level, &domain, &text);
        if EVENTS.load(Ordering::Relaxed) {
            log_event(level, &domain, &text);
        } else if matches!(level, Error | Critical | Warning) {
            say(&format!("{domain}: {text}"));
        }
    });
    glib::LogWriterOutput::Handled
}

/// The level at which a message is logged.
fn level_of(level: glib::LogLevel, domain: &str, text: &str) -> glib::LogLevel {
    if HARMLESS.contains(&(domain, text)) { glib::LogLevel::Debug } else { level }
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

/// The value of a message's field as printable text. The bytes may come from a peer: they need not be
/// UTF-8, and may contain terminal escape sequences.
fn field(fields: &[glib::LogField<'_>], key: &str) -> Option<String> {
    let field = fields.iter().find(|field| field.key() == key)?;
    Some(printable(&String::from_utf8_lossy(field.value_bytes()?)))
}

/// Escapes characters that control a terminal or change the direction of text, except tab and line feed.
pub fn printable(text: &str) -> String {
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
    fn control_characters_in_a_field_are_escaped() {
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
            assert_eq!(field(&fields, "GLIB_DOMAIN"), None, "not text");
            assert_eq!(field(&fields, "CODE_FILE"), None, "missing");
        }
    }

    #[test]
    fn only_harmless_messages_are_logged_as_debug() {
        use glib::LogLevel::{Critical, Debug};
        let [(domain, text)] = HARMLESS;
        for (domain, text, want) in [
            (domain, text, Debug),
            ("GLib", text, Critical),
            (domain, "gst_event_set_seqnum: assertion 'GST_IS_EVENT (event)' failed", Critical),
        ] {
            assert_eq!(level_of(Critical, domain, text), want, "{domain}: {text}");
        }
    }

    /// Blocks each write until the test allows it.
    struct BlockedWriter {
        started: Sender<()>,
        allowed: Receiver<()>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for BlockedWriter {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            let _ = self.started.send(());
            // Dropping the sender allows all further writes.
            let _ = self.allowed.recv();
            self.written.lock().unwrap().extend(text);
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_queue_loses_lines_and_reports_how_many() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let (started, writes) = std::sync::mpsc::channel();
        let (allow, allowed) = std::sync::mpsc::channel();
        let queue =
            Queue::start(BlockedWriter { started, allowed, written: written.clone() }).unwrap();
        queue.push(b"first\n".to_vec());
        // From now on the first line blocks the thread.
        writes.recv().unwrap();
        let surplus = 7;
        for number in 0..QUEUE_LINES + surplus {
            queue.push(format!("{number}\n").into_bytes());
        }
        assert_eq!(queue.counts.lost.load(Ordering::Relaxed), surplus as u64);
        // Flushing a full queue returns at once.
        queue.flush(Duration::from_mins(1));
        drop(allow);
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
    fn lines_over_the_byte_limit_are_lost() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let (started, writes) = std::sync::mpsc::channel();
        let (allow, allowed) = std::sync::mpsc::channel();
        let queue = Queue::start(BlockedWriter { started, allowed, written }).unwrap();
        queue.push(b"first\n".to_vec());
        writes.recv().unwrap();
        for _ in 0..5 {
            queue.push(vec![b'x'; QUEUE_BYTES / 4]);
        }
        assert_eq!(queue.counts.lost.load(Ordering::Relaxed), 1);
        drop(allow);
    }

    /// A pipe whose reader has closed it.
    struct ClosedPipe;

    impl Write for ClosedPipe {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_loses_lines_and_nothing_else() {
        let queue = Queue::start(ClosedPipe).unwrap();
        for _ in 0..3 {
            queue.push(b"line\n".to_vec());
            queue.flush(Duration::from_mins(1));
        }
        assert_eq!(queue.counts.lost.load(Ordering::Relaxed), 3);
    }
}
