// SPDX-License-Identifier: MIT OR Apache-2.0
//! Video in a window of GStreamer's, keys and a status line in the terminal.

use crate::cli::Arguments;
use crate::player::{Exchange, Player, State};
use anyhow::{Context, Result};
use crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::terminal;
use glib::prelude::*;
use mjpeg_program::log;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

/// How often keys are read and the status line is drawn.
const TICK: Duration = Duration::from_millis(50);

/// How far an arrow key goes.
const STEP: gst::ClockTime = gst::ClockTime::from_seconds(5);

pub fn run(player: &Player, arguments: &Arguments) -> Result<ExitCode> {
    let display =
        ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
    let name = if display { "autovideosink" } else { "fakesink" };
    if !display {
        say("no display (DISPLAY and WAYLAND_DISPLAY are not set): the pictures are not shown");
    }
    let sink = gst::ElementFactory::make(name).build().with_context(|| format!("no {name}"))?;
    if !display {
        sink.set_property("sync", true);
    }
    player.set_video_sink(&sink);
    let main_loop = glib::MainLoop::new(None, false);
    let failed = Rc::new(std::cell::Cell::new(false));
    let flag = failed.clone();
    player.connect_error(move |failure| {
        flag.set(true);
        say(&failure.text);
    });
    player.connect_refused(say);
    let explain = arguments.explain;
    player.connect_exchange(move |exchange| match exchange {
        // Its reply shows it whole.
        Exchange::RtspRequest(_) => {}
        _ if explain => say(&exchange.to_string()),
        Exchange::Note(text) => say(text),
        _ => {}
    });
    player.connect_end_of_movie(|| say("end of the movie: p plays it again"));
    let keys = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let raw = if keys { Some(RawMode::enter()?) } else { None };
    if !arguments.no_play {
        let first = std::cell::Cell::new(true);
        player.connect_state(move |player| {
            if player.state() == State::Ready && first.replace(false) {
                player.command("play");
            }
        });
        player.command("setup");
    }
    let (quits, flag, plays) = (Quits(main_loop.clone()), failed.clone(), !arguments.no_play);
    player.every(TICK, "terminal-timer", move |player| {
        // Owned by the timer: after its end no key is read.
        let _ = &quits;
        if keys {
            let go_on = read_keys(player);
            draw(player);
            return if go_on { glib::ControlFlow::Continue } else { glib::ControlFlow::Break };
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
    Ok(if failed.get() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Without keys there is nobody to set up again after an error.
fn has_ended(player: &Player) -> bool {
    player.state() == State::Init && player.pending().is_none()
}

/// Ends the main loop when it is dropped.
struct Quits(glib::MainLoop);

impl Drop for Quits {
    fn drop(&mut self) {
        self.0.quit();
    }
}

/// Acts on the keys pressed since the last time; false to quit.
fn read_keys(player: &Player) -> bool {
    while crossterm::event::poll(Duration::ZERO).unwrap_or(false) {
        let Ok(Event::Key(key)) = crossterm::event::read() else { continue };
        if key.kind == KeyEventKind::Release {
            continue;
        }
        let position = player.position().unwrap_or_default();
        match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return false,
            KeyCode::Char('q') => return false,
            KeyCode::Char('s') => player.command("setup"),
            KeyCode::Char('t') => player.command("teardown"),
            KeyCode::Char(' ') if player.state() == State::Playing => player.command("pause"),
            KeyCode::Char('p' | ' ') => player.command("play"),
            KeyCode::Left => player.seek(position.saturating_sub(STEP)),
            KeyCode::Right => {
                let end = player.duration().unwrap_or(gst::ClockTime::MAX);
                player.seek((position + STEP).min(end));
            }
            _ => {}
        }
    }
    true
}

fn say(text: &str) {
    log::write(format!("\r\x1b[K{}\r\n", text.replace('\n', "\r\n")).as_bytes());
}

fn draw(player: &Player) {
    let clock = |time: Option<gst::ClockTime>| {
        time.map_or("--:--.-".to_owned(), |time| {
            let tenths = time.mseconds() / 100;
            format!("{}:{:02}.{}", tenths / 600, tenths / 10 % 60, tenths % 10)
        })
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

/// Keys without Enter; put back when dropped.
struct RawMode;

impl RawMode {
    fn enter() -> Result<Self> {
        terminal::enable_raw_mode().context("the terminal does not give single keys")?;
        Ok(Self)
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        let _ = terminal::disable_raw_mode();
        log::say("");
    }
}
