// SPDX-License-Identifier: MIT OR Apache-2.0
//! The terminal front end: keys and a status line in the terminal, video in GStreamer's window.

use crate::cli::Arguments;
use crate::login::{self, KeyOutcome, Login};
use crate::player::movies::server_text;
use crate::player::{Exchange, FailureKind, Player, State};
use crate::termination::Termination;
use crate::{NO_DISPLAY, format_tenths, has_display, reconnection_text};
use anyhow::{Context, Result};
use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::terminal;
use glib::prelude::*;
use mjpeg_program::log;
use std::cell::{Cell, RefCell};
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
a            pause
space        play or pause
t            teardown
left, right  back or forward 5 s
l            play the movie again and again, or not
?            this list
q, Ctrl-C    quit";

/// How a session with one player ends.
enum End {
    Quit,
    Failed,
    /// A user and a password have been typed.
    LogIn(Login),
}

pub fn run(player: Player, source: &str, arguments: &Arguments) -> Result<ExitCode> {
    let keys = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let raw = if keys { Some(RawMode::enter()?) } else { None };
    let termination = Rc::new(Termination::new()?);
    let (mut player, mut source) = (player, source.to_owned());
    let mut set_up = !arguments.no_play;
    let end = loop {
        match play(&player, &source, arguments, keys, set_up, &termination)? {
            End::LogIn(login) => {
                let Some(address) = login.address(&source) else { break End::Failed };
                player = Player::new(&address, &arguments.options())?;
                source = address;
                set_up = true;
            }
            end => break end,
        }
    };
    drop(raw);
    player.save_packets(&arguments.packets)?;
    if let Some(code) = termination.exit_code() {
        return Ok(code);
    }
    Ok(if matches!(end, End::Failed) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Runs a player until it is to end.
fn play(
    player: &Player,
    source: &str,
    arguments: &Arguments,
    keys: bool,
    set_up: bool,
    termination: &Rc<Termination>,
) -> Result<End> {
    show_pictures(player)?;
    player.start_capture(&arguments.packets)?;
    let main_loop = glib::MainLoop::new(None, false);
    let failed = Rc::new(Cell::new(false));
    let login = Rc::new(RefCell::new(None));
    print_messages(player, arguments.explain);
    let (flag, slot) = (failed.clone(), login.clone());
    let (server, user) = (server_text(source).unwrap_or_default(), arguments.user.clone());
    let named = source.to_owned();
    player.connect_error(move |failure| {
        flag.set(true);
        let refused = failure.kind == FailureKind::NotAuthorized;
        let text = if keys { failure.text.clone() } else { login::text(failure, &named) };
        print_line(&text);
        if refused && keys {
            slot.replace(Some(Login::new(&server, user.as_deref())));
        }
    });
    if !arguments.no_play {
        player.play_when_first_ready();
    }
    if set_up {
        player.command("setup");
    }
    let ends = Rc::new(RefCell::new(End::Quit));
    let (quit, end) = (QuitOnDrop(main_loop.clone()), ends.clone());
    let (signals, flag, plays) = (termination.clone(), failed.clone(), !arguments.no_play);
    player.every(TICK, "terminal-timer", move |player| {
        // Owned by the timer: when the timer ends, keys are no longer read.
        let _ = &quit;
        if signals.is_requested() {
            return glib::ControlFlow::Break;
        }
        if !keys {
            let ended = plays && has_ended(player);
            flag.set(flag.get() || ended);
            return if ended { glib::ControlFlow::Break } else { glib::ControlFlow::Continue };
        }
        // A command may fail at once, and the failure may ask again.
        let mut typed = login.take();
        let end_now = handle_keys(player, &mut typed);
        if typed.is_some() {
            login.replace(typed);
        }
        match end_now {
            Some(how) => {
                end.replace(how);
                glib::ControlFlow::Break
            }
            None => glib::ControlFlow::Continue,
        }
    });
    if !keys {
        let quit = main_loop.clone();
        player.connect_end_of_movie(move || quit.quit());
    }
    main_loop.run();
    player.command("teardown");
    let end = ends.replace(End::Quit);
    Ok(match end {
        End::Quit if failed.get() => End::Failed,
        end => end,
    })
}

/// Shows the pictures in a window of GStreamer, if there is a display.
fn show_pictures(player: &Player) -> Result<()> {
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
    Ok(())
}

/// Prints what the player reports, except failures.
fn print_messages(player: &Player, explain: bool) {
    player.connect_refused(print_line);
    player.connect_reconnecting(|failure, attempt, wait| {
        print_line(&reconnection_text(failure, attempt, wait));
    });
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

/// Handles the keys pressed since the last call, and draws the last line. Returns how the session ends, if
/// it does.
fn handle_keys(player: &Player, login: &mut Option<Login>) -> Option<End> {
    while crossterm::event::poll(Duration::ZERO).unwrap_or(false) {
        let Ok(Event::Key(key)) = crossterm::event::read() else { continue };
        if key.kind == KeyEventKind::Release {
            continue;
        }
        match login.as_mut().map(|login| login.press(&key)) {
            Some(KeyOutcome::Finished) => return login.take().map(End::LogIn),
            Some(KeyOutcome::Cancelled) => *login = None,
            None if !control_player(player, &key) => return Some(End::Quit),
            Some(KeyOutcome::Unfinished) | None => {}
        }
    }
    match login {
        Some(login) => log::write(format!("\r\x1b[K{}", login.prompt()).as_bytes()),
        None => draw_status(player),
    }
    None
}

/// Does what a key says; returns false to quit.
fn control_player(player: &Player, key: &KeyEvent) -> bool {
    let position = player.position().unwrap_or_default();
    match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return false,
        KeyCode::Char('q') => return false,
        KeyCode::Char('?') => print_line(KEYS),
        KeyCode::Char('s') => player.command("setup"),
        KeyCode::Char('t') => player.command("teardown"),
        KeyCode::Char('a') => player.command("pause"),
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
