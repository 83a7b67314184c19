// SPDX-License-Identifier: MIT OR Apache-2.0
//! Below the picture: the seek bar, the lab's buttons, its states, the frame's number.

use super::keys;
use super::model::{Action, Local, Model, word};
use super::style::{ACCENT, CORNER, ON_ACCENT, ROW};
use crate::player::{Command, Protocol, State};
use eframe::egui::{
    self, Align, Button, Color32, FontId, Layout, Rect, RichText, Role, Sense, Slider, Stroke,
    StrokeKind, Ui, WidgetInfo, pos2, vec2,
};
use std::time::Duration;

/// Width of a button: the longest word's.
const BUTTON: f32 = 86.0;
/// A state's box.
const BOX: egui::Vec2 = vec2(72.0, 24.0);
/// The line between two boxes.
const LINE: f32 = 16.0;
/// How long a transition is lit, in seconds.
const FLASH: f64 = 0.2;

/// The three lines at the bottom.
pub fn show(ui: &mut Ui, model: &Model, local: &mut Local, actions: &mut Vec<Action>) {
    seek_bar(ui, model, local, actions);
    ui.horizontal(|ui| {
        ui.set_min_height(ROW);
        buttons(ui, model, actions);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let states = 3.0 * BOX.x + 2.0 * LINE;
            let text = frame_text(model);
            let width =
                ui.painter().layout_no_wrap(text.clone(), FontId::monospace(13.0), Color32::WHITE);
            // The counter goes first where there is no place, then two of the boxes.
            if ui.available_width() > states + width.size().x + 24.0 {
                ui.label(RichText::new(text).monospace());
            }
            let whole = ui.available_width() > states + 8.0;
            state_diagram(ui, model, whole);
        });
    });
}

/// `M:SS.T`.
fn clock(seconds: f64) -> String {
    // Movies are far shorter than 2^52 tenths of a second.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let tenths = (seconds.max(0.0) * 10.0).round() as u64;
    format!("{}:{:02}.{}", tenths / 600, tenths / 10 % 60, tenths % 10)
}

fn seek_bar(ui: &mut Ui, model: &Model, local: &mut Local, actions: &mut Vec<Action>) {
    let elapsed = model.position.unwrap_or_default().as_secs_f64();
    ui.horizontal(|ui| {
        ui.set_min_height(24.0);
        if let Some(why) = model.no_seeking() {
            // A lab server's movie is known when it plays.
            if model.position.is_some() && model.status.state != State::Init {
                ui.monospace(clock(elapsed));
                ui.label(RichText::new(why).weak());
            } else {
                ui.label(RichText::new("\u{2013}:\u{2013}\u{2013}.\u{2013}").weak().monospace());
            }
            return;
        }
        let whole = model.status.duration.unwrap_or_default().as_secs_f64();
        let mut at = local.dragged.unwrap_or(elapsed).clamp(0.0, whole);
        ui.monospace(clock(at));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.monospace(format!("-{}", clock(whole - at)));
            ui.spacing_mut().slider_width = ui.available_width();
            let slider = ui.add(Slider::new(&mut at, 0.0..=whole).show_value(false));
            ui.ctx().accesskit_node_builder(slider.id, |node| {
                node.set_label("Position");
                node.set_value(format!("{} of {}", clock(at), clock(whole)));
            });
            let slider = slider.on_hover_text("Drag to another place; Left and Right go 5 seconds");
            if slider.changed() {
                actions.push(Action::Seek(Duration::from_secs_f64(at)));
            }
            // The bar stays where it was dragged to until a picture from there has come.
            if slider.dragged() || slider.changed() {
                local.dragged = Some(at);
            }
        });
    });
}

fn buttons(ui: &mut Ui, model: &Model, actions: &mut Vec<Action>) {
    if model.settings.simple {
        simple_buttons(ui, model, actions);
        return;
    }
    for command in Command::ALL {
        let refusal = model.refusal(command);
        let accent = model.next_step() == Some(command);
        let action = match command {
            Command::Setup => Action::Setup,
            Command::Play => Action::Play,
            Command::Pause => Action::Pause,
            Command::Teardown => Action::Teardown,
        };
        let tip = format!("{} ({})", sends(model, command), key_of(command));
        button(ui, word(command), refusal, accent, &tip, action, actions);
    }
}

fn key_of(command: Command) -> &'static str {
    match command {
        Command::Pause => "Space",
        Command::Setup => keys::name_of(&Action::Setup),
        Command::Play => keys::name_of(&Action::Play),
        Command::Teardown => keys::name_of(&Action::Teardown),
    }
}

/// Play, Pause, Stop: setup happens by itself, as in the lab's extension exercise.
fn simple_buttons(ui: &mut Ui, model: &Model, actions: &mut Vec<Action>) {
    let state = model.status.state;
    let open = if model.is_open() { None } else { Some("Open a movie first".to_owned()) };
    let play = match state {
        State::Playing => Some("Play: it plays already".to_owned()),
        _ if model.status.pending.is_some() => {
            Some("Play is waiting for the server's answer".to_owned())
        }
        _ => open.clone(),
    };
    let accent = play.is_none();
    let tip = match state {
        State::Init => {
            format!("{}, then {} (P)", sends(model, Command::Setup), sends(model, Command::Play))
        }
        _ => format!("{} (P)", sends(model, Command::Play)),
    };
    button(ui, "Play", play, accent, &tip, Action::Play, actions);
    let tip = format!("{} (Space)", sends(model, Command::Pause));
    let accent = state == State::Playing;
    button(ui, "Pause", model.refusal(Command::Pause), accent, &tip, Action::Pause, actions);
    let stop = (state == State::Init && model.status.pending.is_none())
        .then(|| "Stop: nothing plays".to_owned())
        .or(open);
    let tip = format!("{} (T)", sends(model, Command::Teardown));
    button(ui, "Stop", stop, false, &tip, Action::Teardown, actions);
}

/// What the button sends, in the source's language.
fn sends(model: &Model, command: Command) -> &'static str {
    match (command, model.status.protocol) {
        (Command::Setup, Protocol::Rtsp) => "sends OPTIONS, DESCRIBE and SETUP",
        (Command::Setup, Protocol::Lab) => "sends SETUP with the RTP port",
        (Command::Setup, Protocol::None) => "opens the movie",
        (Command::Play, Protocol::None) => "plays the movie",
        (Command::Play, _) => "sends PLAY",
        (Command::Pause, Protocol::None) => "stops, and keeps the place",
        (Command::Pause, _) => "sends PAUSE",
        (Command::Teardown, Protocol::None) => "closes the movie",
        (Command::Teardown, _) => "sends TEARDOWN",
    }
}

fn button(
    ui: &mut Ui,
    text: &str,
    refusal: Option<String>,
    accent: bool,
    tip: &str,
    action: Action,
    actions: &mut Vec<Action>,
) {
    let words = RichText::new(text);
    let mut button =
        if accent { Button::new(words.color(ON_ACCENT)).fill(ACCENT) } else { Button::new(words) };
    button = button.min_size(vec2(BUTTON, ROW));
    let response = ui.add_enabled(refusal.is_none(), button);
    let response = match refusal {
        Some(why) => response.on_disabled_hover_text(why),
        None => response.on_hover_text(tip),
    };
    if response.clicked() {
        actions.push(action);
    }
}

fn state_diagram(ui: &mut Ui, model: &Model, whole: bool) {
    let states = [State::Init, State::Ready, State::Playing];
    let width = if whole { 3.0 * BOX.x + 2.0 * LINE } else { BOX.x };
    let (rect, response) = ui.allocate_exact_size(vec2(width, BOX.y), Sense::hover());
    let current = model.status.state;
    let name = format!("State: {}", current.name());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &name));
    response.on_hover_text(
        "INIT: not set up. READY: set up, or paused. PLAYING: the server sends. \
         The state changes when the server's answer has come.",
    );
    let now = ui.input(|input| input.time);
    let from = model.changed.filter(|(_, at)| now - at < FLASH).map(|(from, _)| from);
    if from.is_some() {
        ui.ctx().request_repaint_after(Duration::from_secs_f64(FLASH));
    }
    let (visuals, painter) = (ui.visuals(), ui.painter());
    let line = visuals.widgets.noninteractive.bg_stroke;
    let weak = visuals.weak_text_color();
    let mut left = rect.left();
    for (at, state) in states.into_iter().enumerate() {
        let on = state == current;
        if !whole && !on {
            continue;
        }
        if whole && at > 0 {
            // The lines on the way from the state before.
            let place = |of: State| states.iter().position(|it| *it == of).unwrap_or(0);
            let passed = from.is_some_and(|from| {
                let (low, high) =
                    (place(from).min(place(current)), place(from).max(place(current)));
                (low + 1..=high).contains(&at)
            });
            let stroke = if passed { Stroke::new(2.0, ACCENT) } else { line };
            painter.hline(left..=left + LINE, rect.center().y, stroke);
            left += LINE;
        }
        let area = Rect::from_min_size(pos2(left, rect.top()), BOX);
        let (fill, ink) = if on { (ACCENT, ON_ACCENT) } else { (Color32::TRANSPARENT, weak) };
        let stroke = if on { Stroke::new(1.0, ACCENT) } else { line };
        painter.rect(area, CORNER, fill, stroke, StrokeKind::Inside);
        let font = FontId::proportional(12.5);
        painter.text(area.center(), egui::Align2::CENTER_CENTER, state.name(), font, ink);
        left += BOX.x;
    }
}

/// `frame 249  20.0 fps`, of a width that does not jump.
fn frame_text(model: &Model) -> String {
    let frame = model.frame().map_or("-".to_owned(), |frame| frame.to_string());
    let rate = model.frame_rate.map_or(String::new(), |rate| format!("{rate:.1} fps"));
    // Exact: the rates are powers of two.
    #[allow(clippy::float_cmp)]
    let speed = if model.status.rate == 1.0 {
        String::new()
    } else {
        format!("  {}\u{d7}", model.status.rate)
    };
    let recording = model.status.recording.as_ref();
    let recording = recording.map_or(String::new(), |it| format!("  REC {}", it.frames));
    format!("frame {frame:>6}  {rate:>8}{speed}{recording}")
}
