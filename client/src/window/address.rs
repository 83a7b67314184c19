// SPDX-License-Identifier: MIT OR Apache-2.0
//! The bar at the top: the address with what it may be, and the menu.

use super::keys;
use super::model::{Action, Local, Model, Movies};
use super::settings::{Panel, Theme};
use super::style::ROW;
use crate::player::Transport;
use crate::player::movies::server_of;
use eframe::egui::{
    self, Align, Button, Key, Layout, Popup, RichText, SetOpenCommand, TextEdit, TextStyle, Ui,
};

/// The bar.
pub fn show(ui: &mut Ui, model: &Model, local: &mut Local, actions: &mut Vec<Action>) {
    ui.horizontal_centered(|ui| {
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.menu_button("Menu", |ui| menu(ui, model, actions));
            if model.is_welcome() {
                // The address is large in the middle.
                ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                    ui.label(RichText::new("mjpeg-rtsp").strong());
                });
                return;
            }
            let open = Button::new("Open").min_size(egui::vec2(64.0, ROW));
            if ui.add(open).on_hover_text("Opens this address (Enter)").clicked() {
                open_address(local, actions);
            }
            let drop = ui.add(
                Button::new(RichText::new("\u{25be}").monospace()).min_size(egui::vec2(28.0, ROW)),
            );
            drop.widget_info(|| {
                egui::WidgetInfo::labeled(egui::Role::Button, true, "Addresses and movies")
            });
            let drop = drop.on_hover_text("Last addresses, and this server's movies");
            let open = std::mem::take(&mut local.open_choices);
            let popup = Popup::menu(&drop).width(ui.available_width().min(560.0));
            let popup = if open { popup.open_memory(SetOpenCommand::Bool(true)) } else { popup };
            popup.show(|ui| {
                choices(ui, model, actions);
            });
            field(ui, local, TextStyle::Body, actions);
        });
    });
}

/// The field itself; also large, where there is no picture yet.
pub fn field(ui: &mut Ui, local: &mut Local, font: TextStyle, actions: &mut Vec<Action>) {
    let edit = TextEdit::singleline(&mut local.address)
        .id_salt("address")
        .font(font)
        .hint_text("rtsp://HOST:PORT/MOVIE, labrtsp://HOST:PORT/MOVIE, or a file")
        .align(egui::Align2::LEFT_CENTER)
        .min_size(egui::vec2(0.0, ui.spacing().interact_size.y))
        .desired_width(f32::INFINITY);
    let field = ui.add(edit);
    ui.ctx().accesskit_node_builder(field.id, |node| node.set_label("Address"));
    if std::mem::take(&mut local.focus_address) {
        field.request_focus();
    }
    local.typing |= field.has_focus();
    if field.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter)) {
        open_address(local, actions);
    }
}

/// Opens what is in the field.
pub fn open_address(local: &Local, actions: &mut Vec<Action>) {
    let address = local.address.trim();
    if !address.is_empty() {
        actions.push(Action::Open(address.to_owned()));
    }
}

fn choices(ui: &mut Ui, model: &Model, actions: &mut Vec<Action>) {
    if let Some((host, port)) = server_of(&model.status.source) {
        ui.label(RichText::new(format!("Movies of {host}:{port}")).weak());
        match &model.movies {
            Movies::Unknown => {
                if ui.button("Ask the server for its movies").clicked() {
                    actions.push(Action::ListMovies);
                }
            }
            Movies::Asking => {
                ui.label("Asking\u{2026}");
            }
            Movies::Known(movies) if movies.is_empty() => {
                ui.label("This server has no list: it does not know the request LIST");
            }
            Movies::Known(movies) => addresses(ui, movies, "movies", actions),
        }
        ui.separator();
    }
    ui.label(RichText::new("Last addresses").weak());
    if model.settings.history.is_empty() {
        ui.label("None yet");
    }
    addresses(ui, &model.settings.history, "history", actions);
}

fn addresses(ui: &mut Ui, list: &[String], name: &str, actions: &mut Vec<Action>) {
    egui::ScrollArea::vertical().id_salt(name).max_height(220.0).show(ui, |ui| {
        for address in list {
            if ui.add(Button::new(address).truncate().frame_when_inactive(false)).clicked() {
                actions.push(Action::Open(address.clone()));
                ui.close();
            }
        }
    });
}

fn entry(ui: &mut Ui, text: &str, enabled: bool, action: Action, actions: &mut Vec<Action>) {
    let button = Button::new(text).shortcut_text(keys::name_of(&action));
    if ui.add_enabled(enabled, button).clicked() {
        actions.push(action);
        ui.close();
    }
}

fn menu(ui: &mut Ui, model: &Model, actions: &mut Vec<Action>) {
    ui.set_min_width(250.0);
    let (there, settings) = (model.picture.is_some(), &model.settings);
    entry(ui, "Open a file\u{2026}", true, Action::OpenFile, actions);
    entry(ui, "Lab server\u{2026}", true, Action::LabForm, actions);
    entry(ui, "Movies of this server", model.is_open(), Action::ListMovies, actions);
    ui.separator();
    entry(ui, "Save the picture as PNG", there, Action::Snapshot, actions);
    let record = if model.status.recording.is_some() { "Stop recording" } else { "Record" };
    entry(ui, record, model.is_open(), Action::Record, actions);
    ui.separator();
    for (page, name) in [(Panel::Protocol, "protocol"), (Panel::Statistics, "statistics")] {
        let verb = if settings.panel == page { "Hide" } else { "Show" };
        entry(ui, &format!("{verb} the {name}"), true, Action::TogglePanel(page), actions);
    }
    entry(ui, "Full screen", there, Action::FullScreen, actions);
    ui.separator();
    let (mut simple, mut play) = (settings.simple, settings.play_on_open);
    if ui.checkbox(&mut simple, "Three buttons: Play, Pause, Stop").changed() {
        actions.push(Action::Simple(simple));
    }
    if ui.checkbox(&mut play, "Play what is opened").changed() {
        actions.push(Action::PlayOnOpen(play));
    }
    ui.menu_button("RTP is carried by", |ui| {
        for (transport, text) in [
            (Transport::Auto, "UDP, then TCP"),
            (Transport::Udp, "UDP"),
            (Transport::Tcp, "TCP, interleaved"),
            (Transport::Http, "TCP, through HTTP"),
        ] {
            if ui.radio(settings.transport == transport, text).clicked() {
                actions.push(Action::Transport(transport));
            }
        }
    });
    ui.menu_button("Colours", |ui| {
        for (theme, text) in
            [(Theme::System, "As the system"), (Theme::Dark, "Dark"), (Theme::Light, "Light")]
        {
            if ui.radio(settings.theme == theme, text).clicked() {
                actions.push(Action::Theme(theme));
            }
        }
    });
    ui.separator();
    entry(ui, "Keys", true, Action::Help, actions);
    entry(ui, "Quit", true, Action::Quit, actions);
}
