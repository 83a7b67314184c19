// SPDX-License-Identifier: MIT OR Apache-2.0
//! The bar at the top: the address field, the list of addresses and movies, and the menu.

use super::keys;
use super::model::{Action, LATENCIES, Model, MovieList, WidgetState};
use super::settings::{Panel, Theme};
use super::style::{ROW, text_field};
use crate::player::Transport;
use crate::player::movies::server_text;
use eframe::egui::{
    self, Align, Button, Key, Layout, Popup, RichText, SetOpenCommand, TextEdit, TextStyle, Ui,
};

/// Draws the bar.
pub fn show(ui: &mut Ui, model: &Model, widgets: &mut WidgetState, actions: &mut Vec<Action>) {
    ui.horizontal_centered(|ui| {
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.menu_button("Menu", |ui| {
                // The menu may be higher than the window.
                let height = (ui.ctx().content_rect().height() - 24.0).max(120.0);
                let area = egui::ScrollArea::vertical().max_height(height);
                // Without this, egui's default height of a popup limits it.
                let area = area.min_scrolled_height(height);
                area.show(ui, |ui| menu(ui, model, actions));
            });
            if model.shows_welcome() {
                // The welcome page has the address field.
                ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                    ui.label(RichText::new("mjpeg-rtsp").strong());
                });
                return;
            }
            let open = Button::new("Open").min_size(egui::vec2(64.0, ROW));
            if ui.add(open).on_hover_text("Open this address (Enter)").clicked() {
                open_address(widgets, actions);
            }
            let list = ui.add(
                Button::new(RichText::new("\u{25be}").monospace()).min_size(egui::vec2(28.0, ROW)),
            );
            list.widget_info(|| {
                egui::WidgetInfo::labeled(egui::Role::Button, true, "Addresses and movies")
            });
            let list = list.on_hover_text("Recent addresses, and the movies of this server");
            let open = std::mem::take(&mut widgets.open_choices);
            let popup = Popup::menu(&list).width(ui.available_width().min(560.0));
            let popup = if open { popup.open_memory(SetOpenCommand::Bool(true)) } else { popup };
            popup.show(|ui| {
                choices(ui, model, actions);
            });
            field(ui, widgets, TextStyle::Body, actions);
        });
    });
}

/// The address field, for the bar and the welcome page.
pub fn field(ui: &mut Ui, widgets: &mut WidgetState, font: TextStyle, actions: &mut Vec<Action>) {
    let edit = TextEdit::singleline(&mut widgets.address)
        .id_salt("address")
        .font(font)
        .hint_text("rtsp://HOST:PORT/MOVIE, labrtsp://HOST:PORT/MOVIE, or a file")
        .align(egui::Align2::LEFT_CENTER)
        .min_size(egui::vec2(0.0, ui.spacing().interact_size.y))
        .desired_width(f32::INFINITY);
    let field = text_field(ui, edit);
    ui.ctx().accesskit_node_builder(field.id, |node| node.set_label("Address"));
    if std::mem::take(&mut widgets.focus_address) {
        field.request_focus();
    }
    widgets.typing |= field.has_focus();
    if field.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter)) {
        open_address(widgets, actions);
    }
}

/// Opens the address in the field.
pub fn open_address(widgets: &WidgetState, actions: &mut Vec<Action>) {
    let address = widgets.address.trim();
    if !address.is_empty() {
        actions.push(Action::Open(address.to_owned()));
    }
}

/// Opens the address or the file that is pasted where no text field takes it. Any other text goes into the
/// address field.
pub fn paste(ctx: &egui::Context, widgets: &mut WidgetState, actions: &mut Vec<Action>) {
    let text = keys::take_pasted_text(ctx);
    if text.is_empty() {
        return;
    }
    let is_line = !text.contains(char::is_control);
    if is_line && (text.contains("://") || std::path::Path::new(&text).is_file()) {
        actions.push(Action::Open(text));
    } else {
        text.lines().next().unwrap_or_default().clone_into(&mut widgets.address);
        widgets.focus_address = true;
    }
}

fn choices(ui: &mut Ui, model: &Model, actions: &mut Vec<Action>) {
    if let Some(server) = server_text(&model.status.source) {
        ui.label(RichText::new(format!("Movies of {server}")).weak());
        match &model.movies {
            MovieList::Unknown => {
                if ui.button("Ask the server for its movies").clicked() {
                    actions.push(Action::ListMovies);
                }
            }
            MovieList::Loading => {
                ui.label("Asking\u{2026}");
            }
            MovieList::Known(movies) if movies.is_empty() => {
                ui.label(
                    "This server does not list its movies: it does not support the request LIST",
                );
            }
            MovieList::Known(movies) => addresses(ui, movies, "movies", actions),
        }
        ui.separator();
    }
    ui.label(RichText::new("Recent addresses").weak());
    if model.settings.history.is_empty() {
        ui.label("None yet");
    }
    addresses(ui, &model.settings.history, "history", actions);
}

fn addresses(ui: &mut Ui, list: &[String], name: &str, actions: &mut Vec<Action>) {
    egui::ScrollArea::vertical().id_salt(name).max_height(220.0).show(ui, |ui| {
        for address in list {
            if link(ui, address, actions) {
                ui.close();
            }
        }
    });
}

/// A button that opens `address`. Returns whether it was clicked.
pub fn link(ui: &mut Ui, address: &str, actions: &mut Vec<Action>) -> bool {
    let clicked = ui.add(Button::new(address).truncate().frame_when_inactive(false)).clicked();
    if clicked {
        actions.push(Action::Open(address.to_owned()));
    }
    clicked
}

fn entry(ui: &mut Ui, text: &str, enabled: bool, action: Action, actions: &mut Vec<Action>) {
    let button = Button::new(text).shortcut_text(keys::key_name(&action));
    if ui.add_enabled(enabled, button).clicked() {
        actions.push(action);
        ui.close();
    }
}

fn playback_menu(ui: &mut Ui, model: &Model, actions: &mut Vec<Action>) {
    ui.set_min_width(250.0);
    let (is_open, seekable) = (model.is_open(), model.why_not_seekable().is_none());
    entry(ui, "Go to a frame or a time\u{2026}", seekable, Action::ShowGoTo, actions);
    let section = match (model.section_start, model.status.section) {
        (Some(_), _) => "Mark the end of the section",
        (None, Some(_)) => "End the repeated section",
        (None, None) => "Mark the start of a section",
    };
    entry(ui, section, seekable, Action::MarkSection, actions);
    let repeat = if model.settings.repeat { "Play once" } else { "Play again and again" };
    entry(ui, repeat, true, Action::ToggleRepeat, actions);
    ui.separator();
    entry(ui, "The movie before", is_open, Action::OpenNeighbour(-1), actions);
    entry(ui, "The next movie", is_open, Action::OpenNeighbour(1), actions);
    ui.separator();
    let has_picture = model.picture.is_some();
    entry(ui, "Enlarge the picture", has_picture, Action::Enlarge, actions);
    entry(ui, "The whole picture", has_picture, Action::ShowWholePicture, actions);
}

fn menu(ui: &mut Ui, model: &Model, actions: &mut Vec<Action>) {
    ui.set_min_width(250.0);
    let (has_picture, settings) = (model.picture.is_some(), &model.settings);
    entry(ui, "Open a file\u{2026}", true, Action::OpenFile, actions);
    entry(ui, "Lab server\u{2026}", true, Action::ShowLabForm, actions);
    entry(ui, "Movies of this server", model.is_open(), Action::ListMovies, actions);
    ui.separator();
    ui.menu_button("Playback", |ui| playback_menu(ui, model, actions));
    ui.separator();
    entry(ui, "Save the picture as PNG", has_picture, Action::Snapshot, actions);
    let record = if model.status.recording.is_some() { "Stop recording" } else { "Record" };
    entry(ui, record, model.is_open(), Action::ToggleRecording, actions);
    ui.separator();
    for (page, name) in [
        (Panel::Protocol, "protocol"),
        (Panel::Statistics, "statistics"),
        (Panel::Packets, "packets"),
    ] {
        let verb = if settings.panel == page { "Hide" } else { "Show" };
        entry(ui, &format!("{verb} the {name}"), true, Action::TogglePanel(page), actions);
    }
    entry(ui, "Full screen", has_picture, Action::ToggleFullScreen, actions);
    ui.separator();
    let (mut simple, mut play) = (settings.simple, settings.play_on_open);
    if ui.checkbox(&mut simple, "Three buttons: Play, Pause, Stop").changed() {
        actions.push(Action::SetSimple(simple));
    }
    if ui.checkbox(&mut play, "Play movies when they are opened").changed() {
        actions.push(Action::SetPlayOnOpen(play));
    }
    let mut reconnect = settings.reconnect;
    if ui.checkbox(&mut reconnect, "Connect again when a server vanishes").changed() {
        actions.push(Action::SetReconnect(reconnect));
    }
    ui.menu_button("Latency", |ui| {
        for latency in LATENCIES {
            let text = format!("{latency} ms");
            if ui.radio(settings.latency == latency, text).clicked() {
                actions.push(Action::SetLatency(latency));
            }
        }
    });
    ui.menu_button("Transport of RTP", |ui| {
        for (transport, text) in [
            (Transport::Auto, "UDP, then TCP"),
            (Transport::Udp, "UDP"),
            (Transport::Multicast, "UDP, multicast"),
            (Transport::Tcp, "TCP, interleaved"),
            (Transport::Http, "TCP, through HTTP"),
        ] {
            if ui.radio(settings.transport == transport, text).clicked() {
                actions.push(Action::SetTransport(transport));
            }
        }
    });
    ui.menu_button("Colours", |ui| {
        for (theme, text) in
            [(Theme::System, "Same as the system"), (Theme::Dark, "Dark"), (Theme::Light, "Light")]
        {
            if ui.radio(settings.theme == theme, text).clicked() {
                actions.push(Action::SetTheme(theme));
            }
        }
    });
    ui.separator();
    entry(ui, "Keys", true, Action::ToggleKeyList, actions);
    entry(ui, "Quit", true, Action::Quit, actions);
}
