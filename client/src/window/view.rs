// SPDX-License-Identifier: MIT OR Apache-2.0
//! The window's zones, in the order in which they give way when it is small.

use super::model::{Action, Local, Model};
use super::settings::Panel;
use super::{address, controls, keys, picture, protocol, statistics};
use crate::player::{History, ProtocolLog};
use eframe::egui::{self, CentralPanel, Frame, Margin, Modal, RichText, Ui, vec2};

/// Below this width the side panel takes the picture's place, if it is asked for.
pub const NARROW: f32 = 800.0;

/// What the buttons and a state need beside each other.
const CONTROLS: f32 = 480.0;

/// Draws everything; what is asked for is added to `actions`.
pub fn show(
    ui: &mut Ui,
    model: &Model,
    log: &ProtocolLog,
    history: &History,
    local: &mut Local,
    actions: &mut Vec<Action>,
) {
    let typing = std::mem::take(&mut local.typing);
    actions.extend(keys::pressed(ui.ctx(), typing));
    if model.full_screen && model.picture.is_some() {
        let bare = CentralPanel::default().frame(Frame::NONE);
        bare.show(ui, |ui| picture::show(ui, model, local, actions));
        return;
    }
    let bar = Frame::new().fill(ui.visuals().panel_fill).inner_margin(Margin::symmetric(12, 8));
    egui::Panel::top("address").frame(bar).exact_size(48.0).show(ui, |ui| {
        address::show(ui, model, local, actions);
    });
    let narrow = ui.ctx().content_rect().width() < NARROW;
    let page = model.settings.panel;
    if page != Panel::None && !narrow {
        let width = ui.available_width();
        egui::Panel::right("panel")
            .frame(bar)
            .default_size(400.0)
            .size_range(300.0..=(width - CONTROLS).max(300.0))
            .resizable(true)
            .show(ui, |ui| side(ui, model, log, history, local, actions));
    }
    egui::Panel::bottom("controls").frame(bar).show(ui, |ui| {
        controls::show(ui, model, local, actions);
    });
    let over = narrow && local.panel_over_picture && page != Panel::None;
    let plain = Frame::new().fill(ui.visuals().panel_fill);
    let frame = match over {
        true => bar,
        // What is beside the picture is the colour that the window is cleared with.
        false if model.shows_picture() => Frame::NONE,
        false => plain,
    };
    CentralPanel::default().frame(frame).show(ui, |ui| {
        if over {
            side(ui, model, log, history, local, actions);
        } else {
            picture::show(ui, model, local, actions);
        }
    });
    if local.help {
        help(ui, local);
    }
    if local.lab_dialog {
        let shown = Modal::new(egui::Id::unique("lab dialog")).show(ui.ctx(), |ui| {
            ui.set_width(360.0);
            ui.heading("Lab server");
            picture::lab_form(ui, local, actions);
        });
        local.lab_dialog &= !shown.should_close();
    }
}

/// The panel: its two pages.
fn side(
    ui: &mut Ui,
    model: &Model,
    log: &ProtocolLog,
    history: &History,
    local: &mut Local,
    actions: &mut Vec<Action>,
) {
    let page = model.settings.panel;
    ui.horizontal(|ui| {
        for (of, name) in [(Panel::Protocol, "Protocol"), (Panel::Statistics, "Statistics")] {
            if ui.selectable_label(page == of, name).clicked() && page != of {
                actions.push(Action::TogglePanel(of));
            }
        }
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            let close = ui.button("\u{d7}");
            close.widget_info(|| {
                egui::WidgetInfo::labeled(egui::Role::Button, true, "Close the panel")
            });
            if close.on_hover_text("Close the panel").clicked() {
                actions.push(Action::TogglePanel(page));
            }
        });
    });
    ui.separator();
    match page {
        Panel::Protocol => protocol::show(ui, model, log, local, actions),
        Panel::Statistics => statistics::show(ui, model, history, local, actions),
        Panel::None => {}
    }
}

/// The list of keys.
fn help(ui: &mut Ui, local: &mut Local) {
    let shown = Modal::new(egui::Id::unique("keys")).show(ui.ctx(), |ui| {
        ui.heading("Keys");
        ui.add_space(4.0);
        let room = (ui.ctx().content_rect().height() - 140.0).max(160.0);
        egui::ScrollArea::vertical().max_height(room).show(ui, |ui| {
            egui::Grid::new("keys").num_columns(2).spacing([24.0, 4.0]).show(ui, |ui| {
                for binding in keys::BINDINGS.iter().filter(|it| it.name != "=") {
                    ui.label(RichText::new(binding.name).monospace());
                    ui.label(binding.does);
                    ui.end_row();
                }
            });
        });
        ui.add_space(8.0);
        ui.add(egui::Button::new("Close").min_size(vec2(86.0, super::style::ROW))).clicked()
    });
    if shown.inner || shown.should_close() {
        local.help = false;
    }
}
