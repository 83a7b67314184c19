// SPDX-License-Identifier: MIT OR Apache-2.0
//! The client's real window: its buttons are clicked, and its picture is seen in screenshots.

use super::x11::{Display, Rectangle, Screen, VisibleWindow, leaves};
use super::{Action, Driver, Settings};
use crate::client::film;
use crate::client::picture::{Content, Picture};
use crate::process::LaunchOptions;
use anyhow::Result;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The number of buttons.
const BUTTONS: usize = 4;

/// The size of buttons.
const MIN_WIDTH: u16 = 30;
const MAX_HEIGHT: u16 = 90;

/// Windows in a row differ less than this in their middle.
const ROW: i16 = 6;

/// Time between two screenshots.
const SAMPLE: Duration = Duration::from_millis(15);

/// Time between two checks of the windows.
const REFRESH: Duration = Duration::from_millis(200);

/// How long a dialog is left before it is answered: it may still be drawn.
const ANSWER_TIME: Duration = Duration::from_millis(300);

/// How often the buttons are searched before a click.
const LOOKS: usize = 20;

/// The part of the window that a colour must have to be the picture, as a divisor.
const PART: usize = 12;

#[derive(Default)]
struct Shared {
    pictures: Mutex<Vec<Picture>>,
    notes: Mutex<Vec<String>>,
    ended: AtomicBool,
}

/// The window in one run.
pub struct Window<'a> {
    screen: &'a Screen,
    positions: Vec<[u8; 2]>,
    clock: crate::clock::Clock,
    display: Option<Display>,
    buttons: Vec<(i16, i16)>,
    main: Option<VisibleWindow>,
    problem: String,
    shared: Arc<Shared>,
}

impl<'a> Window<'a> {
    /// For one run.
    pub fn new(screen: &'a Screen, settings: &Settings) -> Self {
        Self {
            screen,
            positions: settings.lab.positions.clone(),
            clock: settings.clock,
            display: None,
            buttons: Vec::new(),
            main: None,
            problem: "the client has no window".to_owned(),
            shared: Arc::default(),
        }
    }

    /// Looks for the window and its buttons.
    fn look(&mut self) -> Result<bool> {
        if self.display.is_none() {
            self.display = Some(Display::open(&self.screen.display)?);
        }
        let Some(display) = &self.display else { return Ok(false) };
        let Some(main) = main_window(display)? else { return Ok(false) };
        let buttons = if self.positions.is_empty() {
            row_of_buttons(&display.inside(main.window)?)
        } else {
            self.positions.iter().map(|percent| main.area.at(*percent)).collect()
        };
        // It may still be drawn: twice the same is enough.
        let is_same = self.main.is_some_and(|it| it.area == main.area) && self.buttons == buttons;
        (self.main, self.buttons) = (Some(main), buttons);
        if self.buttons.len() < BUTTONS {
            "the client's window has no row of four buttons that are windows: state their positions in \
             the profile ([client] positions)"
                .clone_into(&mut self.problem);
            return Ok(false);
        }
        // A label whose picture is removed may be higher than the screen.
        for button in &self.buttons {
            if display.reveal(&main, *button)? {
                return Ok(false);
            }
        }
        Ok(is_same)
    }

    /// Takes screenshots, and answers dialogs, in a thread of its own.
    fn watch(&self) -> Result<()> {
        let display = Display::open(&self.screen.display)?;
        let (shared, clock) = (self.shared.clone(), self.clock);
        let watch = move || {
            let mut last = Content::Blank;
            let mut dialog: Option<(u32, Instant)> = None;
            let mut main: Option<(VisibleWindow, Instant)> = None;
            while !shared.ended.load(Ordering::Relaxed) {
                // One question for each screenshot; where the window is, now and then.
                if main.is_none_or(|(_, since)| since.elapsed() >= REFRESH) {
                    let found = main_window(&display).ok().flatten();
                    if let Some(found) = &found {
                        // It may have become smaller since it was moved.
                        let _ = display.reveal_part(found);
                    }
                    main = found.map(|found| (found, Instant::now()));
                    // Errors mean that the dialog has closed.
                    let _ = answer(&display, &mut dialog, &shared);
                }
                if let Some((main, _)) = main
                    && let Ok(pixels) = display.sample(main.area)
                {
                    let content = content(&pixels);
                    if content != last {
                        last = content.clone();
                        let picture = Picture { at: clock.now(), content };
                        shared
                            .pictures
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(picture);
                    }
                }
                std::thread::sleep(SAMPLE);
            }
        };
        std::thread::Builder::new().name("screenshots".to_owned()).spawn(watch)?;
        Ok(())
    }
}

impl Driver for Window<'_> {
    fn launch_options(&self) -> LaunchOptions {
        LaunchOptions {
            variables: vec![("DISPLAY".into(), self.screen.display.clone().into())],
            removed: vec!["WAYLAND_DISPLAY".into(), "XAUTHORITY".into()],
            ..LaunchOptions::default()
        }
    }

    fn is_ready(&mut self) -> bool {
        match self.look() {
            Ok(true) => match self.watch() {
                Ok(()) => true,
                Err(error) => {
                    self.problem = format!("{error:#}");
                    false
                }
            },
            Ok(false) => false,
            Err(error) => {
                self.problem = format!("{error:#}");
                false
            }
        }
    }

    fn not_ready(&self) -> String {
        self.problem.clone()
    }

    fn act(&mut self, action: Action, _: bool) -> Result<(), String> {
        // The window may have another size since it shows a picture. A dialog may cover it.
        for _ in 0..LOOKS {
            match self.look() {
                Ok(true) => break,
                Ok(false) => std::thread::sleep(SAMPLE),
                Err(error) => return Err(format!("{error:#}")),
            }
        }
        let display = self.display.as_ref().ok_or("there is no screen")?;
        let done = match action.button() {
            Some(number) => {
                let button = self.buttons.get(number).ok_or("there is no such button")?;
                display.click(*button)
            }
            None => {
                let main = self.main.as_ref().ok_or("there is no window")?;
                display.close(main.window)
            }
        };
        done.map_err(|error| format!("{error:#}"))
    }

    fn sees_pictures(&self) -> bool {
        true
    }

    fn sees_all(&self) -> bool {
        false
    }

    fn pictures(&mut self) -> Vec<Picture> {
        std::mem::take(&mut *self.shared.pictures.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut *self.shared.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Window<'_> {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
    }
}

/// The largest window that is not a dialog.
fn main_window(display: &Display) -> Result<Option<VisibleWindow>> {
    let windows = display.windows()?;
    let main = windows.into_iter().filter(|it| !it.is_dialog).max_by_key(|it| it.area.area());
    Ok(main.filter(|it| it.area.area() > 1))
}

/// The middles of the lowest four buttons that are in a row, from left to right.
fn row_of_buttons(windows: &[VisibleWindow]) -> Vec<(i16, i16)> {
    let is_button = |it: &&Rectangle| it.width >= MIN_WIDTH && it.height <= MAX_HEIGHT;
    let leaves = leaves(windows);
    let mut middles: Vec<(i16, i16)> =
        leaves.iter().filter(is_button).map(|it| it.middle()).collect();
    middles.sort_by_key(|(x, y)| (-*y, *x));
    for (_, y) in &middles {
        let in_row = |(_, other): &&(i16, i16)| (other - y).abs() < ROW;
        let mut row: Vec<(i16, i16)> = middles.iter().filter(in_row).copied().collect();
        if row.len() >= BUTTONS {
            row.sort_unstable();
            row.truncate(BUTTONS);
            return row;
        }
    }
    Vec::new()
}

/// What a window shows: the colour of a frame, if enough of the window has it.
fn content(pixels: &[[u8; 3]]) -> Content {
    let mut counts = vec![0_usize; film::period()];
    // Neighbours mostly have the same colour.
    let mut last = ([0; 3], None);
    for pixel in pixels {
        if *pixel != last.0 {
            last = (*pixel, film::nearest(*pixel));
        }
        if let Some(count) = last.1.and_then(|colour: usize| counts.get_mut(colour)) {
            *count += 1;
        }
    }
    let most = counts.iter().enumerate().max_by_key(|(_, count)| **count);
    match most {
        Some((colour, count)) if *count > pixels.len() / PART => Content::Colour(colour),
        _ => Content::Blank,
    }
}

/// Presses the first button of a dialog, which is OK or Yes.
fn answer(display: &Display, seen: &mut Option<(u32, Instant)>, shared: &Shared) -> Result<()> {
    let windows = display.windows()?;
    let Some(dialog) = windows.iter().find(|it| it.is_dialog) else {
        *seen = None;
        return Ok(());
    };
    match seen {
        Some((window, since)) if *window == dialog.window => {
            if since.elapsed() < ANSWER_TIME {
                return Ok(());
            }
        }
        _ => {
            *seen = Some((dialog.window, Instant::now()));
            return Ok(());
        }
    }
    let mut leaves = leaves(&display.inside(dialog.window)?);
    leaves.sort_by_key(|it| (-it.middle().1 / ROW, it.x));
    if let Some(first) = leaves.first() {
        display.click(first.middle())?;
        let note = "the client showed a dialog, which was answered with its first button";
        let mut notes = shared.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.push(note.to_owned());
        *seen = Some((dialog.window, Instant::now()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(x: i16, y: i16, width: u16, height: u16) -> VisibleWindow {
        let area = Rectangle { x, y, width, height };
        VisibleWindow { window: 1, area, is_leaf: true, is_dialog: false }
    }

    #[test]
    fn buttons_are_the_lowest_row_of_four() {
        let buttons = [210, 10, 110, 310].map(|x| found(x, 300, 90, 30));
        let label = found(0, 0, 400, 290);
        // A frame behind the buttons, which are not in it but over it.
        let frame = found(0, 290, 400, 50);
        let want = vec![(55, 315), (155, 315), (255, 315), (355, 315)];
        let with = |more: &[VisibleWindow]| row_of_buttons(&[&buttons[..], more].concat());
        assert_eq!(with(&[label, frame]), want);
        let upper = [10, 110, 210, 310].map(|x| found(x, 0, 90, 30));
        assert_eq!(with(&upper), want);
        assert_eq!(row_of_buttons(&buttons[..3]), Vec::new());
    }

    #[test]
    fn a_picture_is_recognised_by_its_colour() {
        let grey = [[217; 3]; 70];
        let picture = [film::colour(5); 30];
        assert_eq!(content(&[&grey[..], &picture[..]].concat()), Content::Colour(5));
        assert_eq!(content(&[&grey[..], &picture[..5]].concat()), Content::Blank);
        assert_eq!(content(&[]), Content::Blank);
    }
}
