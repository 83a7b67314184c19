// SPDX-License-Identifier: MIT OR Apache-2.0
//! The picture's place: the picture, or what to do where there is none.

use super::address;
use super::advice::Advice;
use super::model::{Action, Banner, Local, Model};
use super::style::{ACCENT, CORNER, ON_ACCENT, ROW, warning};
use crate::player::State;
use eframe::egui::{
    self, Align, Button, Color32, Frame, Layout, Margin, Rect, RichText, Role, Sense, TextEdit,
    TextStyle, Ui, WidgetInfo, pos2, vec2,
};

/// Height of the address where it is large.
const LARGE: f32 = 40.0;

/// As many of the last addresses are offered.
const LAST: usize = 5;

/// Fills what is left of the window.
pub fn show(ui: &mut Ui, model: &Model, local: &mut Local, actions: &mut Vec<Action>) {
    let area = ui.available_rect_before_wrap();
    if let Some(advice) = &model.failure {
        failure(ui, advice, actions);
    } else if let Some(picture) = &model.picture {
        let [width, height] = picture.size;
        let place = fitted(area, width, height);
        let response = ui.allocate_rect(area, Sense::click());
        let size = format!("The picture, {width} by {height}");
        response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &size));
        let whole = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
        ui.painter().image(picture.texture, place, whole, Color32::WHITE);
        if response.double_clicked() {
            actions.push(Action::FullScreen);
        }
    } else if model.is_open() {
        ui.painter().rect_filled(area, 0.0, Color32::BLACK);
        let text = match model.status.pending {
            Some(_) => "Waiting for the server\u{2026}",
            None if model.settings.simple || model.status.state == State::Ready => "Press Play",
            None => "Press Setup, then Play",
        };
        ui.painter().text(
            area.center(),
            egui::Align2::CENTER_CENTER,
            text,
            egui::FontId::proportional(16.0),
            Color32::from_gray(0xb0),
        );
    } else {
        welcome(ui, model, local, actions);
    }
    if let Some(banner) = &model.banner {
        show_banner(ui, area, banner, actions);
    }
    if model.hovering {
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

/// The largest rectangle of that shape in the middle of `area`.
fn fitted(area: Rect, width: f32, height: f32) -> Rect {
    let scale = (area.width() / width.max(1.0)).min(area.height() / height.max(1.0));
    Rect::from_center_size(area.center(), vec2(width * scale, height * scale))
}

/// A column in the middle, scrolled where it is too high.
fn column(ui: &mut Ui, salt: &str, add: impl FnOnce(&mut Ui)) {
    let area = ui.available_rect_before_wrap();
    egui::ScrollArea::vertical().id_salt(salt).auto_shrink(false).show(ui, |ui| {
        let width = area.width().min(600.0) - 32.0;
        let side = ((area.width() - width) / 2.0).max(0.0);
        ui.horizontal(|ui| {
            ui.add_space(side);
            ui.vertical(|ui| {
                ui.set_width(width);
                ui.add_space((area.height() * 0.12).min(80.0));
                add(ui);
                ui.add_space(16.0);
            });
        });
    });
}

fn welcome(ui: &mut Ui, model: &Model, local: &mut Local, actions: &mut Vec<Action>) {
    column(ui, "welcome", |ui| {
        ui.heading("Open a movie");
        ui.label(
            RichText::new("An RTSP address, a server of the networking lab, or a file").weak(),
        );
        ui.add_space(8.0);
        let line = vec2(ui.available_width(), LARGE);
        ui.allocate_ui_with_layout(line, Layout::right_to_left(Align::Center), |ui| {
            let open = Button::new(RichText::new("Open").color(ON_ACCENT)).fill(ACCENT);
            if ui.add(open.min_size(vec2(86.0, LARGE))).clicked() {
                address::open_address(local, actions);
            }
            ui.spacing_mut().interact_size.y = LARGE;
            address::field(ui, local, TextStyle::Heading, actions);
        });
        ui.horizontal(|ui| {
            if ui.add(Button::new("Open a file\u{2026}").min_size(vec2(120.0, ROW))).clicked() {
                actions.push(Action::OpenFile);
            }
            if ui
                .add(Button::new("Lab server").selected(local.lab_open).min_size(vec2(120.0, ROW)))
                .clicked()
            {
                local.lab_open = !local.lab_open;
            }
            ui.label(RichText::new("or drop a movie here").weak());
        });
        if local.lab_open {
            ui.add_space(6.0);
            lab_form(ui, local, actions);
        }
        ui.add_space(12.0);
        let last = &model.settings.history;
        if !last.is_empty() {
            ui.label(RichText::new("Last addresses").weak());
        }
        for address in last.iter().take(LAST) {
            let link = ui.add(Button::new(address).truncate().frame_when_inactive(false));
            if link.clicked() {
                actions.push(Action::Open(address.clone()));
            }
        }
    });
}

/// The lab client's four arguments.
pub fn lab_form(ui: &mut Ui, local: &mut Local, actions: &mut Vec<Action>) {
    Frame::group(ui.style()).show(ui, |ui| {
        let mut entered = false;
        let form = &mut local.lab;
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
                let field = ui.add(edit.align(egui::Align2::LEFT_CENTER)).labelled_by(label.id);
                typing |= field.has_focus();
                entered |= field.lost_focus() && ui.input(|it| it.key_pressed(egui::Key::Enter));
                ui.end_row();
            }
        });
        local.typing |= typing;
        let open = Button::new(RichText::new("Open").color(ON_ACCENT)).fill(ACCENT);
        let open = ui.add(open.min_size(vec2(86.0, ROW)));
        open.widget_info(|| WidgetInfo::labeled(Role::Button, true, "Open the lab server"));
        if open.clicked() || entered {
            actions.push(Action::OpenLab);
        }
    });
}

fn failure(ui: &mut Ui, advice: &Advice, actions: &mut Vec<Action>) {
    column(ui, "failure", |ui| {
        let mark = RichText::new(&advice.title).heading().color(warning(ui.visuals().dark_mode));
        ui.label(mark);
        ui.add_space(4.0);
        ui.label(&advice.detail);
        ui.label(RichText::new(advice.why).weak());
        ui.add_space(10.0);
        ui.horizontal_wrapped(|ui| {
            for (at, (text, action)) in advice.offers.iter().enumerate() {
                let button = if at == 0 {
                    Button::new(RichText::new(text).color(ON_ACCENT)).fill(ACCENT)
                } else {
                    Button::new(text)
                };
                if ui.add(button.min_size(vec2(110.0, ROW))).clicked() {
                    actions.push(action.clone());
                }
            }
        });
    });
}

/// At the upper edge, over the picture.
fn show_banner(ui: &mut Ui, area: Rect, banner: &Banner, actions: &mut Vec<Action>) {
    let width = (area.width() - 24.0).min(720.0);
    let place = Rect::from_min_size(
        pos2(area.center().x - width / 2.0, area.top() + 12.0),
        vec2(width, area.height() - 24.0),
    );
    let mut child = ui
        .new_child(egui::UiBuilder::new().max_rect(place).layout(Layout::top_down(Align::Center)));
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
                    actions.push(Action::Dismiss);
                }
            });
        });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_keeps_its_shape() {
        let area = Rect::from_min_size(pos2(10.0, 20.0), vec2(800.0, 600.0));
        let rows = [
            ((384.0, 288.0), vec2(800.0, 600.0)),
            ((1280.0, 720.0), vec2(800.0, 450.0)),
            ((100.0, 400.0), vec2(150.0, 600.0)),
        ];
        for ((width, height), want) in rows {
            let got = fitted(area, width, height);
            assert!((got.size() - want).length() < 0.01, "{got}");
            assert_eq!(got.center(), area.center());
        }
    }
}
