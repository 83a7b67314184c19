// SPDX-License-Identifier: MIT OR Apache-2.0
//! The terminal front end: keys and a status line in the terminal, video in GStreamer's window.

use crate::cli::Arguments;
use crate::player::{Exchange, Player, State};
use crate::termination::Termination;
use crate::{NO_DISPLAY, format_tenths, has_display, reconnection_text};
use anyhow::{Context, Result};
use crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::terminal;
use glib::prelude::*;
use mjpeg_program::log;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

/// Interval between reads of the keys and updates of the status line.
const TICK: Duration = Duration::from_millis(50);

/// Length of an arrow key's seek.
const SEEK_STEP: gst::ClockTime = gst::ClockTime::from_seconds(5);

/// The keys, for `?`.
const KEYS: &str = "\
s            setup
p            play
space        play or pause
t            teardown
left, right  back or forward 5 s
l            play the movie again and again, or not
?            this list
q, Ctrl-C    quit";

pub fn run(player: &Player, arguments: &Arguments) -> Result<ExitCode> {
    let display = has_display();
    let name = if display { "autovideosink" } else { "fakesink" };
    if !display {
        print_line(&format!("{NO_DISPLAY}: the pictures are not shown"));
    }
    let sink = gst::ElementFactory::make(name)
        .build()
        .with_context(|| format!("cannot make the element {name}"))?;
    if !display {
        sink.set_property("sync", true);
    }
    player.set_video_sink(&sink);
    player.start_capture(&arguments.packets)?;
    let main_loop = glib::MainLoop::new(None, false);
    let failed = Rc::new(std::cell::Cell::new(false));
    let flag = failed.clone();
    player.connect_error(move |failure| {
        flag.set(true);
        print_line(&failure.text);
    });
    player.connect_refused(print_line);
    player.connect_reconnecting(|failure, attempt, wait| {
        print_line(&reconnection_text(failure, attempt, wait));
    });
    let explain = arguments.explain;
    player.connect_exchange(move |exchange| match exchange {
        // The reply shows the complete request.
        Exchange::RtspRequest(_) => {}
        _ if explain => print_line(&exchange.to_string()),
        Exchange::Note(text) => print_line(text),
        _ => {}
    });
    player.connect_end_of_movie(|| {
        print_line("end of the movie: press p to play it again, or ? for the keys");
    });
    let keys = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let raw = if keys { Some(RawMode::enter()?) } else { None };
    if !arguments.no_play {
        player.play_when_first_ready();
        player.command("setup");
    }
    let termination = Rc::new(Termination::new()?);
    let (quit, ends) = (QuitOnDrop(main_loop.clone()), termination.clone());
    let (flag, plays) = (failed.clone(), !arguments.no_play);
    player.every(TICK, "terminal-timer", move |player| {
        // Owned by the timer: when the timer ends, keys are no longer read.
        let _ = &quit;
        if ends.is_requested() {
            return glib::ControlFlow::Break;
        }
        if keys {
            let running = handle_keys(player);
            draw_status(player);
            return if running { glib::ControlFlow::Continue } else { glib::ControlFlow::Break };
        }
        if plays && has_ended(player) {
            flag.set(true);
            return glib::ControlFlow::Break;
        }
        glib::ControlFlow::Continue
    });
    if !keys {
        let quit = main_loop.clone();
        player.connect_end_of_movie(move || quit.quit());
    }
    main_loop.run();
    player.command("teardown");
    drop(raw);
    player.save_packets(&arguments.packets)?;
    if let Some(code) = termination.exit_code() {
        return Ok(code);
    }
    Ok(if failed.get() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Whether the session is over. Without keys no command can set it up again.
fn has_ended(player: &Player) -> bool {
    player.state() == State::Init && player.pending().is_none() && !player.reconnects()
}

/// Ends the main loop when it is dropped.
struct QuitOnDrop(glib::MainLoop);

impl Drop for QuitOnDrop {
    fn drop(&mut self) {
        self.0.quit();
    }
}

/// Handles the keys pressed since the last call; returns false to quit.
fn handle_keys(player: &Player) -> bool {
    while crossterm::event::poll(Duration::ZERO).unwrap_or(false) {
        let Ok(Event::Key(key)) = crossterm::event::read() else { continue };
        if key.kind == KeyEventKind::Release {
            continue;
        }
        let position = player.position().unwrap_or_default();
        match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return false,
            KeyCode::Char('q') => return false,
            KeyCode::Char('?') => print_line(KEYS),
            KeyCode::Char('s') => player.command("setup"),
            KeyCode::Char('t') => player.command("teardown"),
            KeyCode::Char(' ') if player.state() == State::Playing => player.command("pause"),
            KeyCode::Char('p' | ' ') => player.command("play"),
            KeyCode::Char('l') => {
                player.set_repeat(!player.repeats());
                let how = if player.repeats() { "again and again" } else { "once" };
                print_line(&format!("the movie is played {how}"));
            }
            KeyCode::Left => player.seek(position.saturating_sub(SEEK_STEP)),
            KeyCode::Right => {
                let end = player.duration().unwrap_or(gst::ClockTime::MAX);
                player.seek((position + SEEK_STEP).min(end));
            }
            _ => {}
        }
    }
    true
}

/// Prints `text` in place of the status line, which the next update draws again.
fn print_line(text: &str) {
    log::write(format!("\r\x1b[K{}\r\n", text.replace('\n', "\r\n")).as_bytes());
}

fn draw_status(player: &Player) {
    let clock = |time: Option<gst::ClockTime>| {
        time.map_or("--:--.-".to_owned(), |time| format_tenths(time.mseconds() / 100))
    };
    let statistics = player.statistics();
    let line = format!(
        "\r\x1b[K[{}] {} / {}  frames {}  lost {} ({:.1} %)  {:.0} kbit/s",
        player.state().name(),
        clock(player.position()),
        clock(player.duration()),
        statistics.frames,
        statistics.lost,
        statistics.loss_ratio() * 100.0,
        statistics.bits_per_second / 1000.0
    );
    log::write(line.as_bytes());
}

/// Raw mode of the terminal, which reports keys without Enter; ended by dropping this.
struct RawMode;

impl RawMode {
    fn enter() -> Result<Self> {
        terminal::enable_raw_mode().context("cannot set the terminal to raw mode")?;
        Ok(Self)
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        let _ = terminal::disable_raw_mode();
        log::say("");
    }
}
