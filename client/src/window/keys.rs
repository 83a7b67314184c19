// SPDX-License-Identifier: MIT OR Apache-2.0
//! The keys: one table for acting, for the menu and for the list that `?` shows.

use super::model::Action;
use eframe::egui::{Context, Key, KeyboardShortcut, Modifiers};

/// Which keys a shortcut leaves to what has the focus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Yields {
    /// To fields that text is typed into.
    ToText,
    /// To any widget: it is used for moving in one, or for pressing it.
    ToAny,
    /// To nothing.
    Never,
}

/// A key, what it does, and in words.
#[derive(Debug)]
pub struct Binding {
    /// The key.
    pub shortcut: KeyboardShortcut,
    /// As a person calls it.
    pub name: &'static str,
    /// What it does.
    pub action: Action,
    /// In words.
    pub does: &'static str,
    yields: Yields,
}

const fn plain(key: Key, name: &'static str, action: Action, does: &'static str) -> Binding {
    let shortcut = KeyboardShortcut::new(Modifiers::NONE, key);
    Binding { shortcut, name, action, does, yields: Yields::ToText }
}

const fn moving(key: Key, name: &'static str, action: Action, does: &'static str) -> Binding {
    let shortcut = KeyboardShortcut::new(Modifiers::NONE, key);
    Binding { shortcut, name, action, does, yields: Yields::ToAny }
}

const fn control(key: Key, name: &'static str, action: Action, does: &'static str) -> Binding {
    let shortcut = KeyboardShortcut::new(Modifiers::COMMAND, key);
    Binding { shortcut, name, action, does, yields: Yields::Never }
}

/// All of them, in the order in which they are listed.
pub const BINDINGS: &[Binding] = &[
    plain(Key::S, "S", Action::Setup, "Setup"),
    plain(Key::P, "P", Action::Play, "Play"),
    moving(Key::Space, "Space", Action::PlayOrPause, "Play or pause"),
    plain(Key::T, "T", Action::Teardown, "Teardown"),
    moving(Key::ArrowLeft, "Left", Action::Skip(-5), "Back 5 seconds"),
    moving(Key::ArrowRight, "Right", Action::Skip(5), "Forward 5 seconds"),
    plain(Key::Comma, ",", Action::Step(-1), "One frame back"),
    plain(Key::Period, ".", Action::Step(1), "One frame forward"),
    plain(Key::Plus, "+", Action::Faster, "Faster"),
    plain(Key::Equals, "=", Action::Faster, "Faster"),
    plain(Key::Minus, "-", Action::Slower, "Slower"),
    plain(Key::F, "F", Action::FullScreen, "Full screen"),
    moving(Key::Escape, "Esc", Action::Leave, "Leave the full screen, or this list"),
    control(Key::O, "Ctrl+O", Action::OpenFile, "Open a file"),
    control(Key::L, "Ctrl+L", Action::FocusAddress, "Go to the address"),
    control(Key::S, "Ctrl+S", Action::Snapshot, "Save the picture as PNG"),
    control(Key::R, "Ctrl+R", Action::Record, "Record what is received, or stop"),
    control(Key::Num1, "Ctrl+1", Action::TogglePanel(super::Panel::Protocol), "Protocol"),
    control(Key::Num2, "Ctrl+2", Action::TogglePanel(super::Panel::Statistics), "Statistics"),
    plain(Key::Questionmark, "?", Action::Help, "This list"),
    plain(Key::Q, "Q", Action::Quit, "Quit"),
];

/// The key of an action, for menus and tooltips.
pub fn name_of(action: &Action) -> &'static str {
    BINDINGS.iter().find(|it| it.action == *action).map_or("", |it| it.name)
}

/// The actions whose keys were pressed. `typing`: text is being typed into a field.
pub fn pressed(ctx: &Context, typing: bool) -> Vec<Action> {
    let focused = ctx.memory(|memory| memory.focused().is_some());
    let open = |yields| match yields {
        Yields::ToText => !typing,
        Yields::ToAny => !focused,
        Yields::Never => true,
    };
    ctx.input_mut(|input| {
        // The longer ones first: S is in Ctrl+S.
        let mut bindings: Vec<&Binding> = BINDINGS.iter().filter(|it| open(it.yields)).collect();
        bindings.sort_by_key(|it| it.shortcut.modifiers.is_none());
        let pressed = bindings.into_iter().filter(|it| input.consume_shortcut(&it.shortcut));
        pressed.map(|it| it.action.clone()).collect()
    })
}
