// SPDX-License-Identifier: MIT OR Apache-2.0
//! The controls below the picture: the seek bar, the lab's buttons and states, the frame number.

use super::keys;
use super::model::{Action, Model, SPEEDS, WidgetState};
use super::style::{ACCENT, CORNER, ON_ACCENT, ROW, accent_button, warning};
use crate::format_tenths;
use crate::player::{Command, Protocol, State};
use eframe::egui::{
    self, Align, Button, Color32, FontId, Layout, Rect, RichText, Role, Sense, Slider, Stroke,
    StrokeKind, Ui, WidgetInfo, pos2, vec2,
};
use std::time::Duration;

/// Width of a button, which fits the longest label.
const BUTTON_WIDTH: f32 = 86.0;
/// Size of a state's box.
const BOX: egui::Vec2 = vec2(72.0, 24.0);
/// Length of the line between two boxes.
const LINE: f32 = 16.0;
/// How long a transition is highlighted, in seconds.
const HIGHLIGHT_TIME: f64 = 0.2;

/// In full screen the controls disappear this long after the last movement of the pointer.
const HIDE_AFTER: f32 = 2.5;
/// How long they take to disappear, in seconds.
const FADE: f32 = 0.5;

/// Draws the controls.
pub fn show(ui: &mut Ui, model: &Model, widgets: &mut WidgetState, actions: &mut Vec<Action>) {
    seek_bar(ui, model, widgets, actions);
    ui.horizontal(|ui| {
        ui.set_min_height(ROW);
        buttons(ui, model, actions);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            // In a narrow window two of the boxes are hidden.
            let show_all = ui.available_width() > 3.0 * BOX.x + 2.0 * LINE + 8.0;
            state_diagram(ui, model, show_all);
        });
    });
    if !model.is_open() {
        return;
    }
    ui.horizontal(|ui| {
        ui.set_min_height(ROW);
        tools(ui, model, actions);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.label(RichText::new(frame_text(model)).monospace());
        });
    });
}

/// Draws the controls over a picture that fills the screen, while the pointer moves.
pub fn show_over_picture(
    ctx: &egui::Context,
    model: &Model,
    widgets: &mut WidgetState,
    actions: &mut Vec<Action>,
) {
    let since = ctx.input(|input| input.pointer.time_since_last_movement());
    let kept = widgets.pointer_on_controls || ctx.memory(|memory| memory.focused().is_some());
    let visible = if kept { 1.0 } else { ((HIDE_AFTER - since) / FADE).clamp(0.0, 1.0) };
    if visible <= 0.0 {
        ctx.set_cursor_icon(egui::CursorIcon::None);
        return;
    }
    // The next change: the start of fading, or the next step of it.
    let until = if kept { HIDE_AFTER } else { HIDE_AFTER - FADE - since };
    ctx.request_repaint_after(Duration::from_secs_f32(until.max(1.0 / 30.0)));
    let screen = ctx.content_rect();
    let width = (screen.width() - 32.0).min(900.0);
    let area = egui::Area::new(egui::Id::unique("controls over the picture"))
        .order(egui::Order::Foreground)
        .anchor(egui::Align2::CENTER_BOTTOM, vec2(0.0, -16.0));
    let shown = area.show(ctx, |ui| {
        ui.set_opacity(visible);
        let frame = egui::Frame::popup(ui.style());
        frame.fill(ui.visuals().panel_fill.gamma_multiply(0.9)).show(ui, |ui| {
            ui.set_width(width);
            show(ui, model, widgets, actions);
        });
    });
    widgets.pointer_on_controls = shown.response.contains_pointer();
}

/// Formats a time in seconds as `M:SS.T`.
fn clock(seconds: f64) -> String {
    // Movies are far shorter than 2^52 tenths of a second.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let tenths = (seconds.max(0.0) * 10.0).round() as u64;
    format_tenths(tenths)
}

fn seek_bar(ui: &mut Ui, model: &Model, widgets: &mut WidgetState, actions: &mut Vec<Action>) {
    widgets.hovered = None;
    let elapsed = model.position.unwrap_or_default().as_secs_f64();
    ui.horizontal(|ui| {
        ui.set_min_height(24.0);
        if let Some(reason) = model.why_not_seekable() {
            // The length of a lab server's movie is known only while it plays.
            if model.position.is_some() && model.status.state != State::Init {
                ui.monospace(clock(elapsed));
                ui.label(RichText::new(reason).weak());
            } else {
                ui.label(RichText::new("\u{2013}:\u{2013}\u{2013}.\u{2013}").weak().monospace());
            }
            return;
        }
        let duration = model.status.duration.unwrap_or_default().as_secs_f64();
        let mut at = widgets.dragged_to.unwrap_or(elapsed).clamp(0.0, duration);
        ui.monospace(clock(at));
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.monospace(format!("-{}", clock(duration - at)));
            ui.spacing_mut().slider_width = ui.available_width();
            let slider =
                ui.add(Slider::new(&mut at, 0.0..=duration).show_value(false).smart_aim(false));
            ui.ctx().accesskit_node_builder(slider.id, |node| {
                node.set_label("Position");
                node.set_value(format!("{} of {}", clock(at), clock(duration)));
            });
            section_marks(ui, &slider, model, duration);
            widgets.hovered = position_tip(&slider, model, duration);
            // A tap presses and releases before the slider is drawn, which does not see it then.
            let tapped = ui
                .input(|input| input.pointer.primary_pressed() && input.pointer.primary_released());
            let tapped = widgets.hovered.filter(|_| tapped && !slider.changed());
            if let Some(time) = tapped {
                at = time.as_secs_f64();
            }
            if slider.changed() || tapped.is_some() {
                actions.push(Action::Seek(Duration::from_secs_f64(at)));
            }
            // The bar stays where it was dragged to until a picture from there has arrived.
            if slider.dragged() || slider.changed() || tapped.is_some() {
                widgets.dragged_to = Some(at);
            }
        });
    });
}

/// Shows, above the seek bar, the time and the frame under the pointer.
fn position_tip(slider: &egui::Response, model: &Model, duration: f64) -> Option<Duration> {
    let pointer = slider.hover_pos()?;
    let ends = ends_of(slider);
    let part = (f64::from(pointer.x) - f64::from(ends.min)) / f64::from(ends.span().max(1.0));
    let time = part.clamp(0.0, 1.0) * duration;
    let frame = model.frame_rate.map_or(String::new(), |rate| {
        // Frame numbers are far below 2^52.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let frame = (time * rate + 1e-6) as u64;
        format!("  frame {frame}")
    });
    let mut tip = egui::Tooltip::for_enabled(slider).at_pointer().gap(16.0);
    tip.popup = tip.popup.align(egui::RectAlign::TOP);
    tip.show(|ui| {
        if let Some(preview) = &model.preview {
            let size = vec2(preview.size[0], preview.size[1]);
            ui.add(egui::Image::new((preview.texture, size)).alt_text("Preview"));
        }
        ui.monospace(format!("{}{frame}", clock(time)));
    });
    Some(Duration::from_secs_f64(time))
}

/// The ends of the bar, between which the handle moves.
fn ends_of(slider: &egui::Response) -> egui::Rangef {
    let radius = slider.rect.height() / 2.5;
    let half = match slider.ctx.global_style().visuals.handle_shape {
        egui::style::HandleShape::Circle => radius,
        egui::style::HandleShape::Rect { aspect_ratio } => radius * aspect_ratio,
    };
    slider.rect.x_range().shrink(half)
}

/// Marks the repeated section on the seek bar.
fn section_marks(ui: &Ui, slider: &egui::Response, model: &Model, duration: f64) {
    let (from, to) = match (model.section_start, model.status.section) {
        (Some(from), _) => (from, None),
        (None, Some((from, to))) => (from, Some(to)),
        (None, None) => return,
    };
    let ends = ends_of(slider);
    let at = |time: Duration| {
        // A share of the bar.
        #[allow(clippy::cast_possible_truncation)]
        let share = (time.as_secs_f64() / duration.max(f64::EPSILON)).clamp(0.0, 1.0) as f32;
        ends.min + share * ends.span()
    };
    let stroke = Stroke::new(2.0, warning(ui.visuals().dark_mode));
    let (painter, bar) = (ui.painter(), slider.rect);
    painter.vline(at(from), bar.y_range(), stroke);
    if let Some(to) = to {
        painter.vline(at(to), bar.y_range(), stroke);
        painter.hline(at(from)..=at(to), bar.bottom() - 1.0, stroke);
    }
}

/// Single frames, speed and recording.
fn tools(ui: &mut Ui, model: &Model, actions: &mut Vec<Action>) {
    let refusal = model.why_not_seekable().map(str::to_owned);
    for (text, name, frames) in
        [("\u{25c2}|", "One frame back", -1), ("|\u{25b8}", "One frame forward", 1)]
    {
        let action = Action::Step(frames);
        let key = keys::key_name(&action);
        let button = Button::new(RichText::new(text).monospace()).min_size(vec2(32.0, ROW));
        let response = ui.add_enabled(refusal.is_none(), button);
        response.widget_info(|| WidgetInfo::labeled(Role::Button, refusal.is_none(), name));
        let response = match &refusal {
            Some(reason) => response.on_disabled_hover_text(reason),
            None => response.on_hover_text(format!("{name} ({key})")),
        };
        if response.clicked() {
            actions.push(action);
        }
    }
    let refusal = model.why_no_speed();
    ui.add_enabled_ui(refusal.is_none(), |ui| {
        let speed = format!("{}\u{d7}", model.status.rate);
        let menu = ui.menu_button(&speed, |ui| {
            for speed in SPEEDS {
                // Exact: the speeds are powers of two.
                #[allow(clippy::float_cmp)]
                let current = model.status.rate == speed;
                if ui.radio(current, format!("{speed}\u{d7}")).clicked() {
                    actions.push(Action::SetSpeed(speed));
                    ui.close();
                }
            }
        });
        let name = format!("Speed: {speed}");
        menu.response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &name));
        match refusal {
            Some(reason) => menu.response.on_disabled_hover_text(reason),
            None => menu.response.on_hover_text("Speed (+ and -)"),
        };
    });
    let recording = model.status.recording.as_ref();
    let text = recording.map_or("Record".to_owned(), |it| format!("REC {}", it.frames));
    let text = match recording {
        Some(_) => RichText::new(text).color(warning(ui.visuals().dark_mode)).strong(),
        None => RichText::new(text),
    };
    let verb = if recording.is_some() { "Stop recording" } else { "Record the received frames" };
    let tip = format!("{verb} ({})", keys::key_name(&Action::ToggleRecording));
    let button = Button::new(text).min_size(vec2(BUTTON_WIDTH, ROW));
    if ui.add_enabled(model.is_open(), button).on_hover_text(tip).clicked() {
        actions.push(Action::ToggleRecording);
    }
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
        let tip = format!("{} ({})", effect_of(model, command), key_of(command));
        button(ui, command.label(), refusal, accent, &tip, action, actions);
    }
}

fn key_of(command: Command) -> &'static str {
    match command {
        Command::Pause => "Space",
        Command::Setup => keys::key_name(&Action::Setup),
        Command::Play => keys::key_name(&Action::Play),
        Command::Teardown => keys::key_name(&Action::Teardown),
    }
}

/// Play, Pause, Stop: Play also sets up, as in the lab's extension exercise.
fn simple_buttons(ui: &mut Ui, model: &Model, actions: &mut Vec<Action>) {
    let state = model.status.state;
    let open = if model.is_open() { None } else { Some("Open a movie first".to_owned()) };
    let play = match state {
        State::Playing => Some("Play: the movie is already playing".to_owned()),
        _ if model.status.pending.is_some() => {
            Some("Play is waiting for the server's answer".to_owned())
        }
        _ => open.clone(),
    };
    let accent = play.is_none();
    let tip = match state {
        State::Init => {
            format!(
                "{}, then {} (P)",
                effect_of(model, Command::Setup),
                effect_of(model, Command::Play)
            )
        }
        _ => format!("{} (P)", effect_of(model, Command::Play)),
    };
    button(ui, "Play", play, accent, &tip, Action::Play, actions);
    let tip = format!("{} (Space)", effect_of(model, Command::Pause));
    let accent = state == State::Playing;
    button(ui, "Pause", model.refusal(Command::Pause), accent, &tip, Action::Pause, actions);
    let stop = (state == State::Init && model.status.pending.is_none())
        .then(|| "Stop: nothing is playing".to_owned())
        .or(open);
    let tip = format!("{} (T)", effect_of(model, Command::Teardown));
    button(ui, "Stop", stop, false, &tip, Action::Teardown, actions);
}

/// What the command does with the source's protocol.
fn effect_of(model: &Model, command: Command) -> &'static str {
    match (command, model.status.protocol) {
        (Command::Setup, Protocol::Rtsp) => "sends OPTIONS, DESCRIBE and SETUP",
        (Command::Setup, Protocol::Lab) => "sends SETUP with the RTP port",
        (Command::Setup, Protocol::None) => "opens the movie",
        (Command::Play, Protocol::None) => "plays the movie",
        (Command::Play, _) => "sends PLAY",
        (Command::Pause, Protocol::None) => "stops, and keeps the position",
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
    let button = if accent { accent_button(text) } else { Button::new(text) };
    let button = button.min_size(vec2(BUTTON_WIDTH, ROW));
    let response = ui.add_enabled(refusal.is_none(), button);
    let response = match refusal {
        Some(reason) => response.on_disabled_hover_text(reason),
        None => response.on_hover_text(tip),
    };
    if response.clicked() {
        actions.push(action);
    }
}

/// Draws the states and the lines between them; only the current state unless `show_all`.
fn state_diagram(ui: &mut Ui, model: &Model, show_all: bool) {
    let states = [State::Init, State::Ready, State::Playing];
    let width = if show_all { 3.0 * BOX.x + 2.0 * LINE } else { BOX.x };
    let (rect, response) = ui.allocate_exact_size(vec2(width, BOX.y), Sense::hover());
    let current = model.status.state;
    let name = format!("State: {}", current.name());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &name));
    response.on_hover_text(
        "INIT: not set up. READY: set up, or paused. PLAYING: the server sends. \
         The state changes when the server's answer arrives.",
    );
    let now = ui.input(|input| input.time);
    let from = model.state_change.filter(|(_, at)| now - at < HIGHLIGHT_TIME).map(|(from, _)| from);
    if from.is_some() {
        ui.ctx().request_repaint_after(Duration::from_secs_f64(HIGHLIGHT_TIME));
    }
    let (visuals, painter) = (ui.visuals(), ui.painter());
    let line = visuals.widgets.noninteractive.bg_stroke;
    let weak = visuals.weak_text_color();
    let mut left = rect.left();
    for (at, state) in states.into_iter().enumerate() {
        let on = state == current;
        if !show_all && !on {
            continue;
        }
        if show_all && at > 0 {
            // Highlights the lines between the previous state and the current one.
            let index = |of: State| states.iter().position(|it| *it == of).unwrap_or(0);
            let highlighted = from.is_some_and(|from| {
                let (low, high) =
                    (index(from).min(index(current)), index(from).max(index(current)));
                (low + 1..=high).contains(&at)
            });
            let stroke = if highlighted { Stroke::new(2.0, ACCENT) } else { line };
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

/// `frame 249  20.0 fps`, padded so that the width rarely changes.
fn frame_text(model: &Model) -> String {
    let frame = model.frame().map_or("-".to_owned(), |frame| frame.to_string());
    let rate = model.frame_rate.map_or(String::new(), |rate| format!("{rate:.1} fps"));
    format!("frame {frame:>6}  {rate:>8}")
}
