// SPDX-License-Identifier: MIT OR Apache-2.0
//! The layout of the window: address bar, side panel, controls, picture.

use super::model::{Action, Model, WidgetState};
use super::settings::Panel;
use super::{address, controls, forms, keys, packet_list, picture, protocol, statistics, style};
use crate::player::{History, ProtocolLog};
use eframe::egui::{self, CentralPanel, Frame, Margin, Modal, RichText, Ui, vec2};

/// In a window narrower than this the side panel is shown in place of the picture.
pub const NARROW: f32 = 800.0;

/// Width of the buttons and one state, side by side.
const CONTROLS_WIDTH: f32 = 480.0;

/// In a window lower than this, a panel at full width leaves no space for the controls.
const CONTROLS_HEIGHT: f32 = 520.0;

/// Draws the whole window, and adds the requested actions to `actions`.
pub fn show(
    ui: &mut Ui,
    model: &Model,
    log: &ProtocolLog,
    history: &History,
    widgets: &mut WidgetState,
    actions: &mut Vec<Action>,
) {
    let typing = std::mem::take(&mut widgets.typing);
    let in_form = widgets.go_to.is_some() || widgets.login.is_some();
    let in_dialog = widgets.key_list || widgets.lab_dialog || in_form;
    if !typing && !in_dialog {
        address::paste(ui.ctx(), widgets, actions);
    }
    // Where an address is expected, typing needs no click into the field.
    if !typing && !in_dialog && (model.shows_welcome() || model.failure.is_some()) {
        let text = keys::take_typed_text(ui.ctx());
        if !text.is_empty() {
            if model.failure.is_some() {
                widgets.address.clear();
            }
            widgets.address.push_str(&text);
            widgets.focus_address = true;
        }
    }
    actions.extend(keys::pressed(ui.ctx(), typing));
    if model.full_screen && model.picture.is_some() {
        let panel = CentralPanel::default().frame(Frame::NONE);
        panel.show(ui, |ui| picture::show(ui, model, widgets, actions));
        controls::show_over_picture(ui.ctx(), model, widgets, actions);
        if widgets.key_list {
            key_list(ui, widgets);
        }
        forms::show(ui, model, widgets, actions);
        return;
    }
    let bar = Frame::new().fill(ui.visuals().panel_fill).inner_margin(Margin::symmetric(12, 8));
    let page = model.settings.panel;
    if model.shows_wide_panel() {
        if ui.ctx().content_rect().height() >= CONTROLS_HEIGHT {
            egui::Panel::bottom("controls").frame(bar).show(ui, |ui| {
                controls::show(ui, model, widgets, actions);
            });
        }
        CentralPanel::default().frame(bar).show(ui, |ui| {
            side_panel(ui, model, log, history, widgets, actions);
        });
        dialogs(ui, model, widgets, actions);
        return;
    }
    egui::Panel::top("address").frame(bar).exact_size(48.0).show(ui, |ui| {
        address::show(ui, model, widgets, actions);
    });
    let narrow = ui.ctx().content_rect().width() < NARROW;
    if page != Panel::None && !narrow {
        let width = ui.available_width();
        egui::Panel::right("panel")
            .frame(bar)
            .default_size(400.0)
            .size_range(300.0..=(width - CONTROLS_WIDTH).max(300.0))
            .resizable(true)
            .show(ui, |ui| side_panel(ui, model, log, history, widgets, actions));
    }
    egui::Panel::bottom("controls").frame(bar).show(ui, |ui| {
        controls::show(ui, model, widgets, actions);
    });
    let panel_over_picture = narrow && widgets.panel_over_picture && page != Panel::None;
    let plain = Frame::new().fill(ui.visuals().panel_fill);
    let frame = match panel_over_picture {
        true => bar,
        // The background of the picture is the colour with which the window is cleared.
        false if model.shows_picture() => Frame::NONE,
        false => plain,
    };
    CentralPanel::default().frame(frame).show(ui, |ui| {
        if panel_over_picture {
            side_panel(ui, model, log, history, widgets, actions);
        } else {
            picture::show(ui, model, widgets, actions);
        }
    });
    dialogs(ui, model, widgets, actions);
}

/// The dialogs that are open.
fn dialogs(ui: &mut Ui, model: &Model, widgets: &mut WidgetState, actions: &mut Vec<Action>) {
    if widgets.key_list {
        key_list(ui, widgets);
    }
    forms::show(ui, model, widgets, actions);
}

/// The side panel, which has three pages.
fn side_panel(
    ui: &mut Ui,
    model: &Model,
    log: &ProtocolLog,
    history: &History,
    widgets: &mut WidgetState,
    actions: &mut Vec<Action>,
) {
    let (page, wide) = (model.settings.panel, model.shows_wide_panel());
    let text_size = model.settings.text_size();
    style::scale_text(ui, text_size);
    style::tool_row(ui, |ui| {
        let tabs = [
            (Panel::Protocol, "Protocol"),
            (Panel::Statistics, "Statistics"),
            (Panel::Packets, "Packets"),
        ];
        for (tab, name) in tabs {
            if ui.selectable_label(page == tab, name).clicked() && page != tab {
                actions.push(Action::TogglePanel(tab));
            }
        }
        let smaller = ("A\u{2212}", "Smaller text", "Ctrl+-", Action::ChangeTextSize(-1));
        let larger = ("A+", "Larger text", "Ctrl++", Action::ChangeTextSize(1));
        let close = ("\u{d7}", "Close the panel", "", Action::TogglePanel(page));
        let tools = if wide {
            let narrow = ("Narrow", "Beside the picture", "W or Esc", Action::ToggleWide);
            vec![smaller, larger, narrow, close]
        } else {
            // Beside the picture there is little space.
            vec![("Wide", "Panel at full width", "W", Action::ToggleWide), close]
        };
        for (text, name, key, action) in tools {
            let button = ui.button(text);
            button.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, true, name));
            let tip = if key.is_empty() { name.to_owned() } else { format!("{name}  {key}") };
            if button.on_hover_text(tip).clicked() {
                actions.push(action);
            }
        }
    });
    if wide {
        messages(ui, model, actions);
    }
    ui.separator();
    match page {
        Panel::Protocol => protocol::show(ui, model, log, widgets, actions),
        Panel::Statistics => statistics::show(ui, model, history, widgets, actions),
        Panel::Packets => packet_list::show(ui, model, widgets, actions),
        Panel::None => {}
    }
}

/// The failure and the message that are otherwise shown in place of the picture.
fn messages(ui: &mut Ui, model: &Model, actions: &mut Vec<Action>) {
    let dark = ui.visuals().dark_mode;
    if let Some(failure) = &model.failure {
        let text = format!("{} {}", failure.title, failure.detail);
        ui.add(egui::Label::new(RichText::new(text).color(style::warning(dark))).wrap());
    }
    if let Some(banner) = &model.banner {
        ui.horizontal_wrapped(|ui| {
            ui.add(egui::Label::new(RichText::new(&banner.text).strong()).wrap());
            let close = ("Close", Action::DismissBanner);
            for (name, action) in banner.offers.iter().chain([&close]) {
                if ui.button(*name).clicked() {
                    actions.push(action.clone());
                }
            }
        });
    }
}

/// The list of keys, as a dialog.
fn key_list(ui: &mut Ui, widgets: &mut WidgetState) {
    let shown = Modal::new(egui::Id::unique("keys")).show(ui.ctx(), |ui| {
        ui.heading("Keys");
        ui.add_space(4.0);
        let max_height = (ui.ctx().content_rect().height() - 140.0).max(160.0);
        egui::ScrollArea::vertical().max_height(max_height).show(ui, |ui| {
            egui::Grid::new("keys").num_columns(2).spacing([24.0, 4.0]).show(ui, |ui| {
                for binding in keys::BINDINGS.iter().filter(|it| !it.name.ends_with('=')) {
                    ui.label(RichText::new(binding.name).monospace());
                    ui.label(binding.description);
                    ui.end_row();
                }
                // The window system makes it a text.
                ui.label(RichText::new("Ctrl+V").monospace());
                ui.label("Open the address or file in the clipboard");
                ui.end_row();
            });
            ui.add_space(4.0);
            let hint = "Files can be dropped onto the window. An address that is dragged from another \
                        program does not arrive: copy it, and press Ctrl+V.";
            ui.add(egui::Label::new(RichText::new(hint).weak()).wrap());
        });
        ui.add_space(8.0);
        let close = egui::Button::new("Close").min_size(vec2(86.0, super::style::ROW));
        // In a row its text is centred.
        ui.horizontal(|ui| ui.add(close)).inner.clicked()
    });
    if shown.inner || shown.should_close() {
        widgets.key_list = false;
    }
}
