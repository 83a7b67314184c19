// SPDX-License-Identifier: MIT OR Apache-2.0
//! Keyboard shortcuts: one table for the actions, the menu and the list of keys.

use super::model::Action;
use eframe::egui::{Context, Event, Key, KeyboardShortcut, Modifiers, Popup};

/// Which focused widget suppresses a shortcut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SuppressedBy {
    /// A text field.
    TextField,
    /// Any widget: the key moves within a widget, or presses it.
    AnyWidget,
    /// None.
    Nothing,
}

/// A key and its action.
#[derive(Debug)]
pub struct Binding {
    /// The key, with modifiers.
    pub shortcut: KeyboardShortcut,
    /// Name of the key, for the menu and the list.
    pub name: &'static str,
    /// The action of the key.
    pub action: Action,
    /// The action, for the list.
    pub description: &'static str,
    suppressed_by: SuppressedBy,
}

const fn plain(key: Key, name: &'static str, action: Action, description: &'static str) -> Binding {
    let shortcut = KeyboardShortcut::new(Modifiers::NONE, key);
    Binding { shortcut, name, action, description, suppressed_by: SuppressedBy::TextField }
}

const fn moving(
    key: Key,
    name: &'static str,
    action: Action,
    description: &'static str,
) -> Binding {
    let shortcut = KeyboardShortcut::new(Modifiers::NONE, key);
    Binding { shortcut, name, action, description, suppressed_by: SuppressedBy::AnyWidget }
}

const fn control(
    key: Key,
    name: &'static str,
    action: Action,
    description: &'static str,
) -> Binding {
    let shortcut = KeyboardShortcut::new(Modifiers::COMMAND, key);
    Binding { shortcut, name, action, description, suppressed_by: SuppressedBy::Nothing }
}

/// All shortcuts, in the order of the list.
pub const BINDINGS: &[Binding] = &[
    plain(Key::S, "S", Action::Setup, "Setup"),
    plain(Key::P, "P", Action::Play, "Play"),
    moving(Key::Space, "Space", Action::PlayOrPause, "Play or pause"),
    plain(Key::T, "T", Action::Teardown, "Teardown"),
    moving(Key::ArrowLeft, "Left", Action::Skip(-5), "Back 5 seconds"),
    moving(Key::ArrowRight, "Right", Action::Skip(5), "Forward 5 seconds"),
    plain(Key::Comma, ",", Action::Step(-1), "One frame back"),
    plain(Key::Period, ".", Action::Step(1), "One frame forward"),
    plain(Key::G, "G", Action::ShowGoTo, "Go to a frame or a time"),
    plain(Key::L, "L", Action::ToggleRepeat, "Play again and again, or once"),
    plain(Key::A, "A", Action::MarkSection, "Mark the start of a section, its end, or neither"),
    plain(Key::PageUp, "Page up", Action::OpenNeighbour(-1), "The movie before"),
    plain(Key::PageDown, "Page down", Action::OpenNeighbour(1), "The next movie"),
    plain(Key::Plus, "+", Action::Faster, "Faster"),
    plain(Key::Equals, "=", Action::Faster, "Faster"),
    plain(Key::Minus, "-", Action::Slower, "Slower"),
    plain(Key::F, "F", Action::ToggleFullScreen, "Full screen"),
    plain(Key::Z, "Z", Action::Enlarge, "Enlarge the picture (also by the wheel)"),
    plain(Key::Num0, "0", Action::ShowWholePicture, "The whole picture"),
    moving(Key::Escape, "Esc", Action::Escape, "Close what is on top, or leave full screen"),
    control(Key::O, "Ctrl+O", Action::OpenFile, "Open a file"),
    control(Key::L, "Ctrl+L", Action::FocusAddress, "Go to the address"),
    control(Key::S, "Ctrl+S", Action::Snapshot, "Save the picture as PNG"),
    control(Key::R, "Ctrl+R", Action::ToggleRecording, "Start or stop recording"),
    control(Key::Num1, "Ctrl+1", Action::TogglePanel(super::Panel::Protocol), "Protocol"),
    control(Key::Num2, "Ctrl+2", Action::TogglePanel(super::Panel::Statistics), "Statistics"),
    control(Key::Num3, "Ctrl+3", Action::TogglePanel(super::Panel::Packets), "Packets"),
    plain(Key::W, "W", Action::ToggleWide, "Panel at full width"),
    control(Key::Plus, "Ctrl++", Action::ChangeTextSize(1), "Larger text in the panel"),
    control(Key::Equals, "Ctrl+=", Action::ChangeTextSize(1), "Larger text in the panel"),
    control(Key::Minus, "Ctrl+-", Action::ChangeTextSize(-1), "Smaller text in the panel"),
    control(Key::Num0, "Ctrl+0", Action::ChangeTextSize(0), "Normal text in the panel"),
    plain(Key::Questionmark, "?", Action::ToggleKeyList, "This list"),
    plain(Key::Q, "Q", Action::Quit, "Quit"),
    control(Key::Q, "Ctrl+Q", Action::Quit, "Quit"),
];

/// Name of an action's key, for menus and tooltips.
pub fn key_name(action: &Action) -> &'static str {
    BINDINGS.iter().find(|it| it.action == *action).map_or("", |it| it.name)
}

/// The actions whose keys were pressed. `typing`: a text field has the focus.
pub fn pressed(ctx: &Context, typing: bool) -> Vec<Action> {
    let focused = ctx.memory(|memory| memory.focused().is_some());
    // Escape closes an open menu, which takes the key itself.
    let in_menu = Popup::is_any_open(ctx);
    let is_active = |binding: &&Binding| match binding.suppressed_by {
        _ if binding.action == Action::Escape => !in_menu && !typing,
        SuppressedBy::TextField => !typing,
        SuppressedBy::AnyWidget => !focused,
        SuppressedBy::Nothing => true,
    };
    ctx.input_mut(|input| {
        // Shortcuts with modifiers first: Ctrl+S also matches S.
        let mut bindings: Vec<&Binding> = BINDINGS.iter().filter(is_active).collect();
        bindings.sort_by_key(|it| it.shortcut.modifiers.is_none());
        let pressed = bindings.into_iter().filter(|it| input.consume_shortcut(&it.shortcut));
        pressed.map(|it| it.action.clone()).collect()
    })
}

/// Takes the pasted text, or an empty one. Only where no text field takes it.
pub fn take_pasted_text(ctx: &Context) -> String {
    ctx.input_mut(|input| {
        let mut text = String::new();
        input.events.retain(|event| match event {
            Event::Paste(pasted) => {
                pasted.trim().clone_into(&mut text);
                false
            }
            _ => true,
        });
        text
    })
}

/// Takes the text that was typed while no widget had the focus, or an empty one.
pub fn take_typed_text(ctx: &Context) -> String {
    if ctx.memory(|memory| memory.focused().is_some()) || Popup::is_any_open(ctx) {
        return String::new();
    }
    ctx.input_mut(|input| {
        let mut text = String::new();
        for event in &input.events {
            if let Event::Text(typed) = event {
                text.push_str(typed);
            }
        }
        if !text.is_empty() {
            let is_typing = |event: &Event| match event {
                Event::Text(_) => true,
                Event::Key { modifiers, .. } => !modifiers.command && !modifiers.alt,
                _ => false,
            };
            input.events.retain(|event| !is_typing(event));
        }
        text
    })
}
