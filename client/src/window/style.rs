// SPDX-License-Identifier: MIT OR Apache-2.0
//! Colours and sizes. All colours are neutral, except one accent colour for what is active.

use super::settings;
use eframe::egui::{
    self, Button, Color32, CornerRadius, FontFamily, FontId, RichText, Stroke, Style, TextEdit,
    TextStyle, Visuals,
};

/// Marks the current state, the played part and the next step. Its contrast with white is 5.5 to 1.
pub const ACCENT: Color32 = Color32::from_rgb(0x1a, 0x6c, 0xbe);
/// Colour of text on the accent colour.
pub const ON_ACCENT: Color32 = Color32::WHITE;
/// Height of buttons and fields.
pub const ROW: f32 = 30.0;
/// Size of text in a fixed pitch.
const MONOSPACE: f32 = 13.0;
/// Corner radius of buttons and boxes.
pub const CORNER: CornerRadius = CornerRadius::same(5);

/// Colour of failures, and of marks at violations of a rule.
pub fn warning(dark: bool) -> Color32 {
    if dark { Color32::from_rgb(0xf0, 0xb4, 0x4c) } else { Color32::from_rgb(0x8f, 0x50, 0x00) }
}

/// The accent colour for lines and text on the panel's background.
pub fn accent_text(dark: bool) -> Color32 {
    if dark { Color32::from_rgb(0x6c, 0xb2, 0xf5) } else { Color32::from_rgb(0x12, 0x5a, 0xa3) }
}

fn visuals(dark: bool) -> Visuals {
    let (ground, field, button, hover, line, text, weak) = if dark {
        let [ground, field, button, hover, line] =
            [0x1c, 0x12, 0x31, 0x3d, 0x40].map(Color32::from_gray);
        (ground, field, button, hover, line, Color32::from_gray(0xe8), Color32::from_gray(0xa4))
    } else {
        let [ground, field, button, hover, line] =
            [0xf6, 0xff, 0xe4, 0xd6, 0xc4].map(Color32::from_gray);
        (ground, field, button, hover, line, Color32::from_gray(0x1c), Color32::from_gray(0x58))
    };
    let mut visuals = if dark { Visuals::dark() } else { Visuals::light() };
    visuals.panel_fill = ground;
    visuals.window_fill = ground;
    visuals.extreme_bg_color = field;
    visuals.faint_bg_color = if dark { Color32::from_gray(0x23) } else { Color32::from_gray(0xed) };
    visuals.weak_text_color = Some(weak);
    visuals.selection.bg_fill = ACCENT;
    visuals.selection.stroke = Stroke::new(1.0, ON_ACCENT);
    visuals.hyperlink_color = accent_text(dark);
    visuals.window_stroke = Stroke::new(1.0, line);
    visuals.slider_trailing_fill = true;
    let widgets = &mut visuals.widgets;
    for (state, fill, stroke) in [
        (&mut widgets.noninteractive, ground, line),
        (&mut widgets.inactive, button, line),
        (&mut widgets.hovered, hover, accent_text(dark)),
        (&mut widgets.active, hover, accent_text(dark)),
        (&mut widgets.open, hover, line),
    ] {
        state.bg_fill = fill;
        state.weak_bg_fill = fill;
        state.bg_stroke = Stroke::new(1.0, stroke);
        state.fg_stroke = Stroke::new(1.0, text);
        state.corner_radius = CORNER;
        state.expansion = 0.0;
    }
    visuals
}

fn set_sizes(style: &mut Style) {
    style.text_styles = [
        (TextStyle::Small, FontId::new(12.0, FontFamily::Proportional)),
        (TextStyle::Body, FontId::new(14.0, FontFamily::Proportional)),
        (TextStyle::Button, FontId::new(14.0, FontFamily::Proportional)),
        (TextStyle::Monospace, FontId::new(MONOSPACE, FontFamily::Monospace)),
        (TextStyle::Heading, FontId::new(20.0, FontFamily::Proportional)),
    ]
    .into();
    style.spacing.item_spacing = egui::vec2(8.0, 6.0);
    style.spacing.button_padding = egui::vec2(10.0, 4.0);
    style.spacing.interact_size.y = ROW;
    style.spacing.slider_rail_height = 6.0;
    // Scroll bars are beside the content, never over it.
    style.spacing.scroll = egui::style::ScrollStyle::solid();
    style.spacing.scroll.bar_width = 6.0;
    style.animation_time = 0.15;
}

/// Installs the colours of both themes, and the sizes.
pub fn install(ctx: &egui::Context) {
    for (theme, dark) in [(egui::Theme::Dark, true), (egui::Theme::Light, false)] {
        ctx.set_visuals_of(theme, visuals(dark));
    }
    ctx.all_styles_mut(set_sizes);
    // Ctrl with + and - changes the panel's text.
    ctx.options_mut(|options| options.zoom_with_keyboard = false);
}

/// Multiplies the sizes of text, and of what contains it.
pub fn scale_text(ui: &mut egui::Ui, factor: f32) {
    let style = ui.style_mut();
    for font in style.text_styles.values_mut() {
        font.size *= factor;
    }
    style.spacing.interact_size.y *= factor;
    style.spacing.button_padding *= factor.sqrt();
    style.spacing.icon_width *= factor;
    style.spacing.icon_width_inner *= factor;
}

/// The size of the text, as a multiple of the normal size.
pub fn text_size(ui: &egui::Ui) -> f32 {
    TextStyle::Monospace.resolve(ui.style()).size / MONOSPACE
}

/// Lays buttons out in rows. Where there is little space they are not as large as the text.
pub fn tool_row(ui: &mut egui::Ui, contents: impl FnOnce(&mut egui::Ui)) {
    ui.scope(|ui| {
        let size = text_size(ui);
        let limit = (ui.available_width() / 600.0).max(1.0);
        scale_text(ui, size.min(limit) / size);
        ui.horizontal_wrapped(contents);
    });
}

/// A button with the accent colour.
pub fn accent_button(text: &str) -> Button<'_> {
    Button::new(RichText::new(text).color(ON_ACCENT)).fill(ACCENT)
}

/// Adds a text field. The field with the focus has a border in the accent colour: the library's is white
/// in both themes.
pub fn text_field(ui: &mut egui::Ui, edit: TextEdit<'_>) -> egui::Response {
    let field = ui.add(edit);
    if field.has_focus() {
        let stroke = Stroke::new(1.5, accent_text(ui.visuals().dark_mode));
        ui.painter().rect_stroke(field.rect, CORNER, stroke, egui::StrokeKind::Inside);
    }
    field
}

/// Applies the theme of the settings.
pub fn set_theme(ctx: &egui::Context, theme: settings::Theme) {
    ctx.set_theme(match theme {
        settings::Theme::System => egui::ThemePreference::System,
        settings::Theme::Dark => egui::ThemePreference::Dark,
        settings::Theme::Light => egui::ThemePreference::Light,
    });
}
