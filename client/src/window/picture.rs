// SPDX-License-Identifier: MIT OR Apache-2.0
//! The area of the picture. Without a picture it shows advice, a hint or the welcome page.

use super::address;
use super::advice::Advice;
use super::model::{Action, Banner, Model, WidgetState};
use super::style::{CORNER, ROW, accent_button, text_field, warning};
use super::zoom::Zoom;
use crate::player::engine::Reconnection;
use crate::player::{Protocol, State};
use eframe::egui::{
    self, Align, Button, Color32, Frame, Layout, Margin, Rect, RichText, Role, Sense, TextEdit,
    TextStyle, Ui, WidgetInfo, pos2, vec2,
};

/// Height of the address field in the welcome page.
const LARGE_FIELD: f32 = 40.0;

/// Number of recent addresses in the welcome page.
const RECENT_ADDRESSES: usize = 5;

/// Fills the rest of the window.
pub fn show(ui: &mut Ui, model: &Model, widgets: &mut WidgetState, actions: &mut Vec<Action>) {
    let area = ui.available_rect_before_wrap();
    if let Some(advice) = &model.failure {
        failure(ui, advice, actions);
    } else if let Some(picture) = &model.picture {
        let [width, height] = picture.size;
        let response = ui.allocate_rect(area, Sense::click_and_drag());
        let zoom = &mut widgets.zoom;
        move_by_pointer(ui, &response, zoom, vec2(width, height));
        let target = zoom.target(area, vec2(width, height));
        let size = format!("The picture, {width} by {height}");
        response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &size));
        let texture_area = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
        let painter = ui.painter().with_clip_rect(area);
        painter.image(picture.texture, target, texture_area, Color32::WHITE);
        if zoom.is_active() {
            let text = format!("{:.1}\u{d7}", zoom.factor());
            let corner = area.left_bottom() + vec2(12.0, -12.0);
            let font = egui::FontId::proportional(14.0);
            let drawn = painter.layout_no_wrap(text, font, Color32::WHITE);
            let place = egui::Align2::LEFT_BOTTOM.anchor_size(corner, drawn.size());
            painter.rect_filled(place.expand(4.0), CORNER, Color32::from_black_alpha(0xa0));
            painter.galley(place.min, drawn, Color32::WHITE);
        }
        if response.double_clicked() {
            actions.push(Action::ToggleFullScreen);
        }
    } else if let Some(reconnection) = &model.status.reconnection {
        reconnecting(ui, reconnection, actions);
    } else if model.is_open() {
        ui.painter().rect_filled(area, 0.0, Color32::BLACK);
        ui.painter().text(
            area.center(),
            egui::Align2::CENTER_CENTER,
            hint(model),
            egui::FontId::proportional(16.0),
            Color32::from_gray(0xb0),
        );
    } else {
        welcome(ui, model, widgets, actions);
    }
    if let Some(banner) = &model.banner {
        show_banner(ui, area, banner, actions);
    }
    if model.file_hovering {
        ui.painter().rect_filled(area, 0.0, Color32::from_black_alpha(0xa0));
        ui.painter().text(
            area.center(),
            egui::Align2::CENTER_CENTER,
            "Drop the movie to open it",
            egui::FontId::proportional(20.0),
            Color32::WHITE,
        );
    }
}

/// What is shown in place of a picture: what the player waits for, or what to do.
fn hint(model: &Model) -> &'static str {
    match (model.status.pending, model.status.state, model.status.protocol) {
        (Some(_), _, Protocol::None) => "Opening\u{2026}",
        (Some(_), ..) => "Waiting for the server\u{2026}",
        (None, State::Init, _) if !model.settings.simple => "Press Setup, then Play",
        (None, State::Init | State::Ready, _) => "Press Play",
        (None, State::Playing, _) => "Waiting for the first picture\u{2026}",
    }
}

/// Enlarges the picture by the wheel or two fingers, and moves it by dragging.
fn move_by_pointer(ui: &Ui, response: &egui::Response, zoom: &mut Zoom, size: egui::Vec2) {
    let area = response.rect;
    if let Some(pointer) = response.hover_pos() {
        let (wheel, pinch) = ui.input(|it| (it.smooth_scroll_delta().y, it.zoom_delta()));
        let factor = (wheel / 240.0).exp() * pinch;
        if (factor - 1.0).abs() > f32::EPSILON {
            zoom.enlarge(factor, pointer, area, size);
        }
    }
    if zoom.is_active() && response.dragged() {
        zoom.drag(response.drag_delta(), area, size);
        ui.set_cursor_icon(egui::CursorIcon::Grabbing);
    }
}

/// Says why the session was lost, and when it is opened again.
fn reconnecting(ui: &mut Ui, reconnection: &Reconnection, actions: &mut Vec<Action>) {
    let left = reconnection.due.saturating_duration_since(std::time::Instant::now());
    column(ui, "reconnecting", |ui| {
        let title = RichText::new("The connection was lost").heading();
        ui.label(title.color(warning(ui.visuals().dark_mode)));
        ui.add_space(4.0);
        ui.label(&reconnection.failure.text);
        let attempt = reconnection.attempt;
        let when = match left.as_secs_f64().ceil() {
            seconds if seconds > 0.0 => format!("in {seconds} s"),
            _ => "now".to_owned(),
        };
        ui.label(RichText::new(format!("Connecting again {when} (attempt {attempt})")).weak());
        ui.add_space(10.0);
        ui.horizontal_wrapped(|ui| {
            let now = accent_button("Connect now").min_size(vec2(110.0, ROW));
            if ui.add(now).clicked() {
                actions.push(Action::Retry);
            }
            if ui.add(Button::new("Give up").min_size(vec2(110.0, ROW))).clicked() {
                actions.push(Action::Teardown);
            }
        });
    });
    ui.request_repaint_after(std::time::Duration::from_millis(200));
}

/// Adds a centred column, with a scroll bar if it is too high.
fn column(ui: &mut Ui, salt: &str, add: impl FnOnce(&mut Ui)) {
    let area = ui.available_rect_before_wrap();
    egui::ScrollArea::vertical().id_salt(salt).auto_shrink(false).show(ui, |ui| {
        let width = area.width().min(600.0) - 32.0;
        let margin = ((area.width() - width) / 2.0).max(0.0);
        ui.horizontal(|ui| {
            ui.add_space(margin);
            ui.vertical(|ui| {
                ui.set_width(width);
                ui.add_space((area.height() * 0.12).min(80.0));
                add(ui);
                ui.add_space(16.0);
            });
        });
    });
}

fn welcome(ui: &mut Ui, model: &Model, widgets: &mut WidgetState, actions: &mut Vec<Action>) {
    column(ui, "welcome", |ui| {
        ui.heading("Open a movie");
        ui.label(
            RichText::new("An RTSP address, a server of the networking lab, or a file").weak(),
        );
        ui.add_space(8.0);
        let line = vec2(ui.available_width(), LARGE_FIELD);
        ui.allocate_ui_with_layout(line, Layout::right_to_left(Align::Center), |ui| {
            let open = accent_button("Open").min_size(vec2(86.0, LARGE_FIELD));
            if ui.add(open).clicked() {
                address::open_address(widgets, actions);
            }
            ui.spacing_mut().interact_size.y = LARGE_FIELD;
            address::field(ui, widgets, TextStyle::Heading, actions);
        });
        ui.horizontal(|ui| {
            if ui.add(Button::new("Open a file\u{2026}").min_size(vec2(120.0, ROW))).clicked() {
                actions.push(Action::OpenFile);
            }
            if ui
                .add(
                    Button::new("Lab server").selected(widgets.lab_open).min_size(vec2(120.0, ROW)),
                )
                .clicked()
            {
                widgets.lab_open = !widgets.lab_open;
            }
            ui.label(RichText::new("or drop a movie here").weak());
        });
        if widgets.lab_open {
            ui.add_space(6.0);
            lab_form(ui, widgets, actions);
        }
        ui.add_space(12.0);
        let recent = &model.settings.history;
        if !recent.is_empty() {
            ui.label(RichText::new("Recent addresses").weak());
        }
        for address in recent.iter().take(RECENT_ADDRESSES) {
            address::link(ui, address, actions);
        }
    });
}

/// The lab form: the four arguments of the lab's client.
pub fn lab_form(ui: &mut Ui, widgets: &mut WidgetState, actions: &mut Vec<Action>) {
    Frame::group(ui.style()).show(ui, |ui| {
        let mut entered = false;
        let form = &mut widgets.lab;
        let mut typing = false;
        egui::Grid::new("lab").num_columns(2).spacing([12.0, 6.0]).show(ui, |ui| {
            for (name, value) in [
                ("Host", &mut form.host),
                ("Port", &mut form.port),
                ("RTP port", &mut form.rtp_port),
                ("Movie", &mut form.file),
            ] {
                let label = ui.label(name);
                let edit =
                    TextEdit::singleline(value).desired_width(220.0).min_size(vec2(0.0, ROW));
                let edit = edit.align(egui::Align2::LEFT_CENTER);
                let field = text_field(ui, edit).labelled_by(label.id);
                typing |= field.has_focus();
                entered |= field.lost_focus() && ui.input(|it| it.key_pressed(egui::Key::Enter));
                ui.end_row();
            }
        });
        widgets.typing |= typing;
        let open = ui.add(accent_button("Open").min_size(vec2(86.0, ROW)));
        open.widget_info(|| WidgetInfo::labeled(Role::Button, true, "Open the lab server"));
        if open.clicked() || entered {
            actions.push(Action::OpenLab);
        }
    });
}

fn failure(ui: &mut Ui, advice: &Advice, actions: &mut Vec<Action>) {
    column(ui, "failure", |ui| {
        let title = RichText::new(&advice.title).heading();
        ui.label(title.color(warning(ui.visuals().dark_mode)));
        ui.add_space(4.0);
        ui.label(&advice.detail);
        ui.label(RichText::new(advice.likely_cause).weak());
        ui.add_space(10.0);
        ui.horizontal_wrapped(|ui| {
            for (at, (text, action)) in advice.offers.iter().enumerate() {
                let button = if at == 0 { accent_button(text) } else { Button::new(text) };
                if ui.add(button.min_size(vec2(110.0, ROW))).clicked() {
                    actions.push(action.clone());
                }
            }
        });
    });
}

/// Shows the banner over the picture, at the upper edge.
fn show_banner(ui: &mut Ui, area: Rect, banner: &Banner, actions: &mut Vec<Action>) {
    let width = (area.width() - 24.0).min(720.0);
    let target = Rect::from_min_size(
        pos2(area.center().x - width / 2.0, area.top() + 12.0),
        vec2(width, area.height() - 24.0),
    );
    let mut child = ui
        .new_child(egui::UiBuilder::new().max_rect(target).layout(Layout::top_down(Align::Center)));
    Frame::new()
        .fill(child.visuals().window_fill)
        .stroke(child.visuals().window_stroke)
        .corner_radius(CORNER)
        .inner_margin(Margin::symmetric(12, 8))
        .show(&mut child, |ui| {
            ui.horizontal_wrapped(|ui| {
                ui.label(&banner.text);
                for (text, action) in &banner.offers {
                    if ui.button(*text).clicked() {
                        actions.push(action.clone());
                    }
                }
                if ui.button("Close").clicked() {
                    actions.push(Action::DismissBanner);
                }
            });
        });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::player::Command;
    use crate::player::engine::Status;
    use crate::window::settings::Settings;

    #[test]
    fn without_a_picture_the_hint_says_what_is_awaited() {
        let waiting = "Waiting for the server\u{2026}";
        let rows = [
            (None, State::Init, Protocol::Rtsp, false, "Press Setup, then Play"),
            (None, State::Init, Protocol::Rtsp, true, "Press Play"),
            (Some(Command::Setup), State::Init, Protocol::Lab, false, waiting),
            (Some(Command::Setup), State::Init, Protocol::None, false, "Opening\u{2026}"),
            (None, State::Ready, Protocol::Lab, false, "Press Play"),
            (Some(Command::Play), State::Ready, Protocol::Rtsp, true, waiting),
            (None, State::Playing, Protocol::Rtsp, false, "Waiting for the first picture\u{2026}"),
        ];
        for (pending, state, protocol, simple, want) in rows {
            let status = Status { protocol, state, pending, ..Status::default() };
            let settings = Settings { simple, ..Settings::default() };
            let model = Model { status, settings, ..Model::default() };
            assert_eq!(hint(&model), want, "{state:?} {pending:?} {protocol:?}");
        }
    }
}
