// SPDX-License-Identifier: MIT OR Apache-2.0
//! A screen of its own (Xvfb): its windows, clicks and screenshots.

use anyhow::{Context, Result, anyhow, bail};
use std::io::{BufRead, BufReader, IoSlice};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use x11rb::connection::{Connection as _, RequestConnection as _};
use x11rb::protocol::xproto::{
    AtomEnum, ClientMessageEvent, ConfigureWindowAux, ConnectionExt as _, EventMask, ImageFormat,
    MapState, Window,
};
use x11rb::rust_connection::RustConnection;

/// The size and depth of the screen.
const SCREEN: &str = "1280x1024x24";

/// A window that is this deep in another one is not searched.
const MAX_DEPTH: usize = 12;

/// The most windows that are looked at.
const MAX_WINDOWS: usize = 2000;

/// What must be seen beside a point, in pixels.
const MARGIN: i16 = 20;

/// How long a button of the mouse is held, and how long before it rests on the button.
const CLICK_TIME: Duration = Duration::from_millis(40);

/// An invisible screen. It ends when dropped.
pub struct Screen {
    server: Child,
    /// Its name, such as `:99`.
    pub display: String,
}

impl Screen {
    /// Starts a screen.
    ///
    /// # Errors
    /// If Xvfb is not installed or does not start.
    pub fn start() -> Result<Self> {
        let mut server = Command::new("Xvfb")
            .args(["-displayfd", "1", "-screen", "0", SCREEN, "-nolisten", "tcp", "-noreset"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("--press=window needs Xvfb (package xvfb), which cannot be started")?;
        crate::process::spare(&server);
        let mut number = String::new();
        let output = server.stdout.take().context("Xvfb has no output")?;
        let read = BufReader::new(output).read_line(&mut number);
        let mut screen = Self { server, display: format!(":{}", number.trim()) };
        if !matches!(read, Ok(1..)) {
            let ended = screen.server.try_wait().ok().flatten();
            bail!(
                "Xvfb does not start: {}",
                ended.map_or("no output".to_owned(), |it| it.to_string())
            );
        }
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Errors mean that it has ended.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A rectangle of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rectangle {
    pub x: i16,
    pub y: i16,
    pub width: u16,
    pub height: u16,
}

impl Rectangle {
    /// The point at these hundredths of its width and height.
    pub fn at(self, percent: [u8; 2]) -> (i16, i16) {
        let part = |length: u16, percent: u8| {
            i16::try_from(u32::from(length) * u32::from(percent) / 100).unwrap_or(0)
        };
        let [x, y] = percent;
        (self.x.saturating_add(part(self.width, x)), self.y.saturating_add(part(self.height, y)))
    }

    /// Its middle.
    pub fn middle(self) -> (i16, i16) {
        self.at([50, 50])
    }

    /// Whether a point is in it.
    pub fn contains(self, (x, y): (i16, i16)) -> bool {
        let end = |start: i16, length: u16| i32::from(start) + i32::from(length);
        x >= self.x
            && y >= self.y
            && i32::from(x) < end(self.x, self.width)
            && i32::from(y) < end(self.y, self.height)
    }

    /// Where its first coordinate must be so that a point that is `inside` its length can be seen on a screen of this
    /// length: where it is, if that can be seen already, and if not, with as much of the start as possible.
    fn revealed(start: i16, inside: i16, screen: u16) -> i16 {
        let screen = i16::try_from(screen).unwrap_or(i16::MAX);
        let seen = 0..screen.saturating_sub(MARGIN);
        if seen.contains(&start.saturating_add(inside)) {
            return start;
        }
        seen.end.saturating_sub(1).saturating_sub(inside).min(0)
    }

    /// The number of its pixels.
    pub fn area(self) -> u32 {
        u32::from(self.width) * u32::from(self.height)
    }
}

/// A visible window.
#[derive(Debug, Clone, Copy)]
pub struct VisibleWindow {
    pub window: Window,
    pub area: Rectangle,
    /// Whether it contains no other visible window.
    pub is_leaf: bool,
    /// Whether it is a dialog of another window.
    pub is_dialog: bool,
}

/// The windows that contain no other window, except those covered by others: buttons, labels, pictures.
pub fn leaves(windows: &[VisibleWindow]) -> Vec<Rectangle> {
    let leaves: Vec<Rectangle> = windows.iter().filter(|it| it.is_leaf).map(|it| it.area).collect();
    let is_behind = |area: &Rectangle| {
        let smaller = leaves.iter().filter(|it| it.area() < area.area());
        smaller.into_iter().any(|it| area.contains(it.middle()))
    };
    leaves.iter().filter(|area| !is_behind(area)).copied().collect()
}

/// A connection to a screen.
pub struct Display {
    connection: RustConnection,
    root: Window,
    size: (u16, u16),
    protocols: u32,
    delete: u32,
    /// The request code of the extension that presses keys and buttons (XTEST).
    test: u8,
}

impl Display {
    /// Connects to a screen.
    ///
    /// # Errors
    /// If the screen has gone.
    pub fn open(name: &str) -> Result<Self> {
        let (connection, number) = RustConnection::connect(Some(name))?;
        let roots = &connection.setup().roots;
        let screen = roots.get(number).context("the display has no screen")?;
        let (root, size) = (screen.root, (screen.width_in_pixels, screen.height_in_pixels));
        let atom = |name: &str| -> Result<u32> {
            Ok(connection.intern_atom(false, name.as_bytes())?.reply()?.atom)
        };
        let (protocols, delete) = (atom("WM_PROTOCOLS")?, atom("WM_DELETE_WINDOW")?);
        let extension = connection.query_extension(b"XTEST")?.reply()?;
        if !extension.present {
            return Err(anyhow!("the screen lacks the extension XTEST"));
        }
        let test = extension.major_opcode;
        Ok(Self { connection, root, size, protocols, delete, test })
    }

    /// The windows of the screen that can be seen: those of programs, not what is in them.
    ///
    /// # Errors
    /// If the screen has gone.
    pub fn windows(&self) -> Result<Vec<VisibleWindow>> {
        let children = self.connection.query_tree(self.root)?.reply()?.children;
        self.look(&children)
    }

    /// The visible windows in another one.
    ///
    /// # Errors
    /// If the screen has gone.
    pub fn inside(&self, window: Window) -> Result<Vec<VisibleWindow>> {
        let mut found = Vec::new();
        self.search(window, MAX_DEPTH, &mut found)?;
        Ok(found)
    }

    fn search(&self, window: Window, depth: usize, found: &mut Vec<VisibleWindow>) -> Result<()> {
        // The window may just have been closed.
        let Ok(tree) = self.connection.query_tree(window)?.reply() else { return Ok(()) };
        if depth == 0 || found.len() >= MAX_WINDOWS {
            return Ok(());
        }
        for child in self.look(&tree.children)? {
            let at = found.len();
            found.push(child);
            self.search(child.window, depth - 1, found)?;
            let is_leaf = found.len() == at + 1;
            if let Some(child) = found.get_mut(at) {
                child.is_leaf = is_leaf;
            }
        }
        Ok(())
    }

    /// Those of some windows that can be seen. All questions are asked at once: each answer takes a while
    /// on a busy machine.
    fn look(&self, windows: &[Window]) -> Result<Vec<VisibleWindow>> {
        let mut asked = Vec::new();
        for window in windows.iter().take(MAX_WINDOWS).copied() {
            let (owner, kind) = (AtomEnum::WM_TRANSIENT_FOR, AtomEnum::WINDOW);
            asked.push((
                window,
                self.connection.get_window_attributes(window)?,
                self.connection.get_geometry(window)?,
                self.connection.translate_coordinates(window, self.root, 0, 0)?,
                self.connection.get_property(false, window, owner, kind, 0, 1)?,
            ));
        }
        let mut found = Vec::new();
        for (window, attributes, size, at, owner) in asked {
            let answers = (attributes.reply(), size.reply(), at.reply(), owner.reply());
            // A window that has been closed meanwhile has no answers.
            let (Ok(attributes), Ok(size), Ok(at), Ok(owner)) = answers else { continue };
            if attributes.map_state == MapState::VIEWABLE {
                let (width, height) = (size.width, size.height);
                let area = Rectangle { x: at.dst_x, y: at.dst_y, width, height };
                let is_dialog = owner.value_len > 0;
                found.push(VisibleWindow { window, area, is_leaf: false, is_dialog });
            }
        }
        Ok(found)
    }

    /// Moves a window so that a point of the screen's coordinates, which is in the window, can be seen. There is no
    /// window manager that would keep windows on the screen. Returns whether it was moved.
    ///
    /// # Errors
    /// If the screen has gone.
    pub fn reveal(&self, found: &VisibleWindow, (x, y): (i16, i16)) -> Result<bool> {
        let area = found.area;
        let left = Rectangle::revealed(area.x, x.saturating_sub(area.x), self.size.0);
        let top = Rectangle::revealed(area.y, y.saturating_sub(area.y), self.size.1);
        if (left, top) == (area.x, area.y) {
            return Ok(false);
        }
        let place = ConfigureWindowAux::new().x(i32::from(left)).y(i32::from(top));
        self.connection.configure_window(found.window, &place)?.check()?;
        Ok(true)
    }

    /// Moves a window of which nothing can be seen. Returns whether it was moved.
    ///
    /// # Errors
    /// If the screen has gone.
    pub fn reveal_part(&self, found: &VisibleWindow) -> Result<bool> {
        let Rectangle { x, y, width, height } = found.area;
        let (right, bottom) = found.area.at([100, 100]);
        let nearest = |start: i16, end: i16, length: u16| {
            if start < 0 && length > 0 { end.saturating_sub(1) } else { start }
        };
        self.reveal(found, (nearest(x, right, width), nearest(y, bottom, height)))
    }

    /// Clicks at a point of the screen.
    pub fn click(&self, (x, y): (i16, i16)) -> Result<()> {
        const MOTION: u8 = 6;
        const PRESS: u8 = 4;
        const RELEASE: u8 = 5;
        const LEFT: u8 = 1;
        self.input(MOTION, 0, (x.saturating_sub(1), y))?;
        self.input(MOTION, 0, (x, y))?;
        std::thread::sleep(CLICK_TIME);
        self.input(PRESS, LEFT, (x, y))?;
        std::thread::sleep(CLICK_TIME);
        self.input(RELEASE, LEFT, (x, y))?;
        Ok(())
    }

    /// XTestFakeInput.
    fn input(&self, kind: u8, detail: u8, (x, y): (i16, i16)) -> Result<()> {
        const FAKE_INPUT: u8 = 2;
        let length = 9_u16.to_ne_bytes();
        let mut request = vec![self.test, FAKE_INPUT];
        request.extend(length);
        request.extend([kind, detail, 0, 0]);
        request.extend(0_u32.to_ne_bytes());
        request.extend(self.root.to_ne_bytes());
        request.extend([0; 8]);
        request.extend(x.to_ne_bytes());
        request.extend(y.to_ne_bytes());
        request.extend([0; 8]);
        let sent =
            self.connection.send_request_without_reply(&[IoSlice::new(&request)], Vec::new())?;
        sent.check()?;
        Ok(())
    }

    /// Asks a program to close its window, as the button in the window's frame does.
    pub fn close(&self, window: Window) -> Result<()> {
        let mut candidates = vec![window];
        candidates.extend(self.inside(window)?.iter().map(|it| it.window));
        for window in candidates {
            let reply = self
                .connection
                .get_property(false, window, self.protocols, AtomEnum::ATOM, 0, 32)?
                .reply()?;
            let asks = reply.value32().is_some_and(|mut atoms| atoms.any(|it| it == self.delete));
            if asks {
                let data = [self.delete, x11rb::CURRENT_TIME, 0, 0, 0];
                let event = ClientMessageEvent::new(32, window, self.protocols, data);
                self.connection.send_event(false, window, EventMask::NO_EVENT, event)?.check()?;
                return Ok(());
            }
        }
        bail!("the client's window cannot be closed: it does not ask for WM_DELETE_WINDOW")
    }

    /// The pixels of a part of the screen, as red, green and blue; a sample of one in nine.
    pub fn sample(&self, area: Rectangle) -> Result<Vec<[u8; 3]>> {
        const STEP: usize = 3;
        let (x, y) = (area.x.max(0), area.y.max(0));
        let left = |size: u16, from: i16| size.saturating_sub(from.unsigned_abs());
        let width = area.width.min(left(self.size.0, x));
        let height = area.height.min(left(self.size.1, y));
        if width == 0 || height == 0 {
            return Ok(Vec::new());
        }
        let format = ImageFormat::Z_PIXMAP;
        let image =
            self.connection.get_image(format, self.root, x, y, width, height, !0)?.reply()?;
        // 32 bits a pixel, blue first.
        let rows = image.data.chunks_exact(usize::from(width) * 4).step_by(STEP);
        let pixels = rows.flat_map(|row| row.chunks_exact(4).step_by(STEP));
        let colour = |pixel: &[u8]| match pixel {
            [blue, green, red, _] => [*red, *green, *blue],
            _ => [0; 3],
        };
        Ok(pixels.map(colour).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_moved_only_if_a_point_cannot_be_seen() {
        // Start, the point in the window, screen, new start.
        let rows = [
            (0, 300, 1024, 0),
            (100, 300, 1024, 100),
            (-50, 300, 1024, -50),
            // It is below the screen, or at its edge.
            (0, 5000, 1024, -3997),
            (0, 1010, 1024, -7),
            (900, 300, 1024, 0),
            // It is above it.
            (-3997, 300, 1024, 0),
            (-3997, 4500, 1024, -3997),
            (0, i16::MAX, 1024, -31764),
            (i16::MIN, 10, 1024, 0),
        ];
        for (start, inside, screen, want) in rows {
            assert_eq!(Rectangle::revealed(start, inside, screen), want, "{start} {inside}");
        }
    }
}
