// SPDX-License-Identifier: MIT OR Apache-2.0
//! A stand-in for tkinter: a Python package that draws nothing, presses buttons when it is told to, and
//! reports what the client shows.

use super::{Action, Driver, Settings};
use crate::client::film;
use crate::client::picture::{Content, Picture};
use crate::clock::Clock;
use crate::process::LaunchOptions;
use anyhow::Context as _;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The files of the package.
const FILES: [(&str, &str); 14] = [
    ("mjpeg_lab_check_link.py", include_str!("../../../stand-in/mjpeg_lab_check_link.py")),
    ("tkinter/__init__.py", include_str!("../../../stand-in/tkinter/__init__.py")),
    ("tkinter/constants.py", include_str!("../../../stand-in/tkinter/constants.py")),
    ("tkinter/messagebox.py", include_str!("../../../stand-in/tkinter/messagebox.py")),
    ("tkinter/filedialog.py", include_str!("../../../stand-in/tkinter/filedialog.py")),
    ("tkinter/simpledialog.py", include_str!("../../../stand-in/tkinter/simpledialog.py")),
    ("tkinter/font.py", include_str!("../../../stand-in/tkinter/font.py")),
    ("tkinter/ttk.py", include_str!("../../../stand-in/tkinter/ttk.py")),
    ("Tkinter.py", include_str!("../../../stand-in/Tkinter.py")),
    ("tkMessageBox.py", include_str!("../../../stand-in/tkMessageBox.py")),
    ("PIL/__init__.py", include_str!("../../../stand-in/PIL/__init__.py")),
    ("PIL/Image.py", include_str!("../../../stand-in/PIL/Image.py")),
    ("PIL/ImageTk.py", include_str!("../../../stand-in/PIL/ImageTk.py")),
    ("PIL/ImageFile.py", include_str!("../../../stand-in/PIL/ImageFile.py")),
];

/// The environment variable with the path of the socket.
const SOCKET: &str = "MJPEG_LAB_CHECK_SOCKET";

/// The longest line of a report, in bytes.
const MAX_LINE: u64 = 64 * 1024;

/// The longest picture in bytes.
const MAX_PICTURE: usize = 4 * 1024 * 1024;

/// The most connections in a run: a client makes one.
const MAX_CONNECTIONS: usize = 8;

/// The most reports of a connection.
const MAX_REPORTS: usize = 20_000;

/// The longest text that is kept, in characters.
const MAX_TEXT: usize = 16 * 1024;

/// The most buttons, and the most other widgets with texts, that are kept.
const MAX_WIDGETS: usize = 200;

/// The most messages of a run that are kept, and the longest one in characters.
const MAX_MESSAGES: usize = 20;
const MAX_MESSAGE: usize = 100;

/// The most bytes of pictures that wait to be looked at. A client that reports more is not read any more.
const MAX_WAITING: usize = 32 * 1024 * 1024;

/// How long a press may take to be sent.
const WRITE_TIME: Duration = Duration::from_secs(1);

/// The package, in a folder. The program may run as another user, so all may read it, and connect to the
/// socket; who reaches them depends on what the folder is in.
pub struct Package {
    folder: PathBuf,
    /// The folder, if it is a temporary one, which is removed at the end.
    _temporary: Option<tempfile::TempDir>,
    sockets: AtomicUsize,
}

impl Package {
    /// Writes the package into a folder, otherwise into a temporary one.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn unpack(folder: Option<&Path>) -> anyhow::Result<Self> {
        let (folder, temporary) = if let Some(folder) = folder {
            (folder.to_owned(), None)
        } else {
            let temporary = tempfile::Builder::new().prefix("mjpeg-lab-check-").tempdir()?;
            (temporary.path().to_owned(), Some(temporary))
        };
        write_package(&folder.join("python")).with_context(|| {
            format!("cannot write the stand-in for tkinter into {}", folder.display())
        })?;
        Ok(Self { folder, _temporary: temporary, sockets: AtomicUsize::new(0) })
    }

    fn socket(&self) -> PathBuf {
        let number = self.sockets.fetch_add(1, Ordering::Relaxed);
        self.folder.join(format!("{number}.socket"))
    }
}

fn write_package(python: &Path) -> io::Result<()> {
    let folders = ["", "tkinter", "PIL"];
    for folder in folders {
        let folder = python.join(folder);
        fs::create_dir_all(&folder)?;
        fs::set_permissions(folder, Permissions::from_mode(0o755))?;
    }
    for (name, text) in FILES {
        let path = python.join(name);
        fs::write(&path, text)?;
        fs::set_permissions(path, Permissions::from_mode(0o644))?;
    }
    Ok(())
}

/// A report of the stand-in.
#[derive(Debug, Deserialize)]
struct Report {
    event: String,
    #[serde(default)]
    widget: u64,
    #[serde(default)]
    text: String,
    #[serde(default)]
    length: usize,
    #[serde(default)]
    number: usize,
}

#[derive(Debug, Default)]
struct State {
    orders: Option<UnixStream>,
    is_ready: bool,
    /// The texts of buttons by their numbers, which rise.
    buttons: BTreeMap<u64, String>,
    pictures: Vec<Picture>,
    /// The bytes of these pictures.
    waiting: usize,
    texts: BTreeMap<u64, String>,
    messages: Vec<(Duration, String)>,
    /// The number of messages so far.
    message_count: usize,
    /// The number of the last order that was carried out.
    done: usize,
    is_closed: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    ended: AtomicBool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The stand-in in one run.
pub struct StandIn {
    python: PathBuf,
    socket: PathBuf,
    names: Vec<String>,
    shared: Arc<Shared>,
    orders: usize,
}

impl StandIn {
    /// For one run.
    ///
    /// # Errors
    /// If the socket cannot be opened.
    pub fn new(package: &Package, settings: &Settings) -> io::Result<Self> {
        let socket = package.socket();
        let listener = UnixListener::bind(&socket)?;
        fs::set_permissions(&socket, Permissions::from_mode(0o666))?;
        listener.set_nonblocking(true)?;
        let shared: Arc<Shared> = Arc::default();
        let (of_thread, clock) = (shared.clone(), settings.clock);
        let listen = move || {
            let mut connections = 0;
            while !of_thread.ended.load(Ordering::Relaxed) && connections < MAX_CONNECTIONS {
                let Ok((stream, _)) = listener.accept() else {
                    std::thread::sleep(Duration::from_millis(5));
                    continue;
                };
                connections += 1;
                let _ = stream.set_nonblocking(false);
                let shared = of_thread.clone();
                // Without a thread, the client is not heard.
                let _ = std::thread::Builder::new()
                    .name("stand-in".to_owned())
                    .spawn(move || read(stream, &shared, clock));
            }
        };
        std::thread::Builder::new().name("stand-in".to_owned()).spawn(listen)?;
        Ok(Self {
            python: package.folder.join("python"),
            socket,
            names: settings.lab.buttons.clone(),
            shared,
            orders: 0,
        })
    }

    /// The number of the button with a text that contains this name; without one, that of the button at
    /// this position.
    fn button(&self, number: usize) -> Option<u64> {
        let state = self.shared.lock();
        let wanted = self.names.get(number)?.to_lowercase();
        let named = |(_, text): &(&u64, &String)| text.trim().to_lowercase().contains(&wanted);
        let exact = state.buttons.iter().find(named).map(|(widget, _)| *widget);
        exact.or_else(|| state.buttons.keys().nth(number).copied())
    }
}

impl Driver for StandIn {
    fn launch_options(&self) -> LaunchOptions {
        let mut path = self.python.clone().into_os_string();
        if let Some(more) = std::env::var_os("PYTHONPATH").filter(|more| !more.is_empty()) {
            path.push(":");
            path.push(more);
        }
        let variables = vec![
            ("PYTHONPATH".into(), path),
            (SOCKET.into(), self.socket.clone().into_os_string()),
            // The folder of the program stays as it is.
            ("PYTHONDONTWRITEBYTECODE".into(), "1".into()),
        ];
        LaunchOptions { variables, ..LaunchOptions::default() }
    }

    fn is_ready(&mut self) -> bool {
        self.shared.lock().is_ready
    }

    fn not_ready(&self) -> String {
        if self.shared.lock().orders.is_some() {
            "the client has a tkinter window, but does not run its mainloop".to_owned()
        } else {
            "the program does not use tkinter: for another one, use --press=window".to_owned()
        }
    }

    fn act(&mut self, action: Action, _: bool) -> Result<(), String> {
        self.orders += 1;
        let number = self.orders;
        let order = match action.button() {
            Some(button) => {
                let name = self.names.get(button).cloned().unwrap_or_default();
                let widget =
                    self.button(button).ok_or(format!("the client has no button {name}"))?;
                serde_json::json!({ "order": "press", "widget": widget, "number": number })
            }
            None => serde_json::json!({ "order": "close", "number": number }),
        };
        let mut state = self.shared.lock();
        let stream = state.orders.as_mut().ok_or("the client has no window")?;
        let sent = stream.write_all(format!("{order}\n").as_bytes());
        sent.map_err(|_| "the client has ended".to_owned())?;
        Ok(())
    }

    fn is_done(&mut self) -> bool {
        let state = self.shared.lock();
        state.done >= self.orders || state.is_closed
    }

    fn sees_pictures(&self) -> bool {
        true
    }

    fn pictures(&mut self) -> Vec<Picture> {
        let mut state = self.shared.lock();
        state.waiting = 0;
        std::mem::take(&mut state.pictures)
    }

    fn texts(&self) -> String {
        let state = self.shared.lock();
        state.texts.values().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    fn messages(&mut self) -> Vec<(Duration, String)> {
        std::mem::take(&mut self.shared.lock().messages)
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
    }
}

/// Reads the reports of a client.
fn read(stream: UnixStream, shared: &Shared, clock: Clock) {
    // A client that reads no orders must not stop the run.
    let _ = stream.set_write_timeout(Some(WRITE_TIME));
    if let Ok(orders) = stream.try_clone() {
        shared.lock().orders = Some(orders);
    }
    let mut reader = BufReader::new(stream);
    for _ in 0..MAX_REPORTS {
        let mut line = Vec::new();
        let read = (&mut reader).take(MAX_LINE).read_until(b'\n', &mut line);
        if !matches!(read, Ok(1..)) {
            break;
        }
        let Ok(report) = serde_json::from_slice::<Report>(&line) else { break };
        if report.length > MAX_PICTURE {
            break;
        }
        let mut bytes = vec![0; report.length];
        if reader.read_exact(&mut bytes).is_err() {
            break;
        }
        let mut state = shared.lock();
        if state.waiting + bytes.len() > MAX_WAITING {
            break;
        }
        accept(&mut state, &report, bytes, clock.now());
    }
    shared.lock().is_closed = true;
}

fn accept(state: &mut State, report: &Report, bytes: Vec<u8>, at: Duration) {
    let text: String = report.text.chars().take(MAX_TEXT).collect();
    match report.event.as_str() {
        "ready" => state.is_ready = true,
        "button" => insert(&mut state.buttons, report.widget, text),
        "text" => insert(&mut state.texts, report.widget, text),
        "message" if state.message_count < MAX_MESSAGES => {
            state.message_count += 1;
            let text: String = text.chars().take(MAX_MESSAGE).collect();
            state.messages.push((at, mjpeg_program::log::printable(&text)));
        }
        "picture" => {
            state.waiting += bytes.len();
            state.pictures.push(Picture { at, content: content(bytes) });
        }
        "done" => state.done = state.done.max(report.number),
        _ => {}
    }
}

fn insert(texts: &mut BTreeMap<u64, String>, widget: u64, text: String) {
    if texts.len() < MAX_WIDGETS || texts.contains_key(&widget) {
        texts.insert(widget, text);
    }
}

fn content(bytes: Vec<u8>) -> Content {
    match bytes.as_slice() {
        [] => Content::Blank,
        [b'R', b'G', b'B', colour @ ..] if colour.len() == 3 => {
            let colour: [u8; 3] = colour.try_into().unwrap_or_default();
            film::nearest(colour).map_or(Content::OtherColour(colour), Content::Colour)
        }
        _ => Content::Bytes(bytes),
    }
}
