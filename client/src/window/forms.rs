// SPDX-License-Identifier: MIT OR Apache-2.0
//! Small dialogs over the window: the lab form, "Go to", user and password.

use super::model::{Action, Model, WidgetState};
use super::picture;
use super::style::{ROW, accent_button, text_field};
use eframe::egui::{self, Align2, Key, Modal, RichText, TextEdit, Ui, vec2};

/// A user and a password, as they are typed.
#[derive(Clone, Default)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Draws the dialog that is open.
pub fn show(ui: &mut Ui, model: &Model, widgets: &mut WidgetState, actions: &mut Vec<Action>) {
    if widgets.lab_dialog {
        let shown = Modal::new(egui::Id::unique("lab dialog")).show(ui.ctx(), |ui| {
            ui.set_width(360.0);
            ui.heading("Lab server");
            picture::lab_form(ui, widgets, actions);
        });
        widgets.lab_dialog &= !shown.should_close();
    }
    if let Some(mut text) = widgets.go_to.take() {
        if go_to(ui, model, &mut text, actions) {
            widgets.go_to = Some(text);
        }
        widgets.typing = true;
    }
    if let Some(mut login) = widgets.login.take() {
        if log_in(ui, model, &mut login, actions) {
            widgets.login = Some(login);
        }
        widgets.typing = true;
    }
}

/// Whether Enter was pressed in a field, which has lost the focus because of that.
fn entered(ui: &Ui, field: &egui::Response) -> bool {
    field.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter))
}

/// The button of a dialog. In a row its text is centred.
fn button(ui: &mut Ui, enabled: bool, text: &str) -> egui::Response {
    let button = accent_button(text).min_size(vec2(86.0, ROW));
    ui.horizontal(|ui| ui.add_enabled(enabled, button)).inner
}

/// Draws "Go to"; returns whether it stays open.
fn go_to(ui: &Ui, model: &Model, text: &mut String, actions: &mut Vec<Action>) -> bool {
    let mut done = false;
    let shown = Modal::new(egui::Id::unique("go to")).show(ui.ctx(), |ui| {
        ui.set_width(300.0);
        ui.heading("Go to");
        let last = model
            .status
            .frames
            .map_or(String::new(), |it| format!(" (0 to {})", it.saturating_sub(1)));
        ui.label(RichText::new(format!("A frame{last}, or a time as 1:23.4")).weak());
        let edit = TextEdit::singleline(text).align(Align2::LEFT_CENTER);
        let edit = edit.desired_width(f32::INFINITY).min_size(vec2(0.0, ROW));
        let field = text_field(ui, edit);
        ui.ctx().accesskit_node_builder(field.id, |node| node.set_label("Frame or time"));
        let entered = entered(ui, &field);
        if !entered {
            field.request_focus();
        }
        let button = button(ui, true, "Go");
        if (button.clicked() || entered) && !text.trim().is_empty() {
            actions.push(Action::GoTo(text.trim().to_owned()));
            done = true;
        }
    });
    !done && !shown.should_close()
}

/// Draws the form for a user and a password; returns whether it stays open.
fn log_in(ui: &Ui, model: &Model, login: &mut Login, actions: &mut Vec<Action>) -> bool {
    let mut done = false;
    let shown = Modal::new(egui::Id::unique("login")).show(ui.ctx(), |ui| {
        ui.set_width(340.0);
        ui.heading("User and password");
        let server = crate::player::movies::server_text(&model.status.source).unwrap_or_default();
        ui.label(RichText::new(format!("for {server}; they are not saved")).weak());
        let mut entered_last = false;
        egui::Grid::new("login").num_columns(2).spacing([12.0, 6.0]).show(ui, |ui| {
            let rows = [("User", &mut login.user, false), ("Password", &mut login.password, true)];
            for (name, value, hidden) in rows {
                let label = ui.label(name);
                let is_empty = value.is_empty();
                let edit = TextEdit::singleline(value).password(hidden).desired_width(220.0);
                let edit = edit.min_size(vec2(0.0, ROW)).align(Align2::LEFT_CENTER);
                let field = text_field(ui, edit).labelled_by(label.id);
                let nothing_focused = ui.memory(|memory| memory.focused().is_none());
                if is_empty && nothing_focused {
                    field.request_focus();
                }
                entered_last |= hidden && entered(ui, &field);
                ui.end_row();
            }
        });
        let button = button(ui, !login.user.is_empty(), "Open");
        if (button.clicked() || entered_last) && !login.user.is_empty() {
            actions.push(Action::LogIn(login.user.clone(), login.password.clone()));
            done = true;
        }
    });
    !done && !shown.should_close()
}
