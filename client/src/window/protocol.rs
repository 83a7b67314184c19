// SPDX-License-Identifier: MIT OR Apache-2.0
//! The protocol page: a table of requests and replies, which unfold into lines with explanations;
//! and the last RTP header, drawn as in RFC 3550 section 5.1.

use super::ladder;
use super::model::{Action, Model, WidgetState};
use super::style::{accent_text, text_size, tool_row, warning};
use crate::player::{Direction, Packet, Protocol, ProtocolEntry, ProtocolLog};
use eframe::egui::text::{LayoutJob, TextFormat};
use eframe::egui::{
    self, Align2, Button, Color32, FontId, Galley, Rect, Response, RichText, Role, ScrollArea,
    Sense, Stroke, StrokeKind, Ui, Vec2, WidgetInfo, pos2, vec2,
};
use std::sync::Arc;

/// Horizontal position of the text in a row, at the normal size of text.
const TEXT_LEFT: f32 = 100.0;

/// In a row narrower than this, at the normal size of text, the text is below the time.
const STACKED: f32 = 330.0;

/// Height of the drawing of the last RTP header.
const HEADER_HEIGHT: f32 = 176.0;

/// The least height of the list; the drawing of the header is left out instead.
const LIST_HEIGHT: f32 = 140.0;

/// Draws the page.
pub fn show(
    ui: &mut Ui,
    model: &Model,
    log: &ProtocolLog,
    widgets: &mut WidgetState,
    actions: &mut Vec<Action>,
) {
    // The narrowest cells of the header contain one letter.
    let scale = text_size(ui).min(ui.available_width() / 330.0);
    let header_height = HEADER_HEIGHT * scale.max(1.0);
    let has_space = ui.available_height() > header_height + LIST_HEIGHT * text_size(ui);
    let packet = model.status.last_packet.filter(|_| has_space && !model.settings.ladder);
    let height = ui.available_height() - if packet.is_some() { header_height } else { 0.0 };
    ui.allocate_ui(vec2(ui.available_width(), height), |ui| {
        ui.set_min_height(height);
        tools(ui, model, log, widgets, actions);
        if model.settings.ladder {
            ladder::show(ui, model, log, widgets);
        } else {
            list(ui, model, log, widgets);
        }
    });
    if let Some(packet) = &packet {
        last_header(ui, packet, scale);
    }
}

fn tools(
    ui: &mut Ui,
    model: &Model,
    log: &ProtocolLog,
    widgets: &mut WidgetState,
    actions: &mut Vec<Action>,
) {
    tool_row(ui, |ui| {
        for (ladder, name) in [(false, "List"), (true, "Ladder")] {
            let selected = model.settings.ladder == ladder;
            if ui.selectable_label(selected, name).clicked() && !selected {
                actions.push(Action::SetLadder(ladder));
            }
        }
        let has_entries = log.entries().len() > 0;
        if ui
            .add_enabled(has_entries, Button::new("Copy"))
            .on_hover_text("The whole log, explained")
            .clicked()
        {
            actions.push(Action::CopyProtocol);
        }
        if ui.add_enabled(has_entries, Button::new("Save\u{2026}")).clicked() {
            actions.push(Action::SaveProtocol);
        }
        let folded = widgets.unfolded.is_empty();
        if ui
            .add_enabled(has_entries, Button::new(if folded { "Unfold all" } else { "Fold all" }))
            .clicked()
        {
            if folded {
                widgets.unfolded = log.entries().map(|(number, _)| (number, Vec2::ZERO)).collect();
            } else {
                widgets.unfolded.clear();
            }
        }
    });
}

/// What is shown before the first message.
pub(super) fn placeholder(ui: &mut Ui, model: &Model) {
    let text = match (model.is_open(), model.status.protocol) {
        (true, Protocol::None) => "A file is played without a protocol.",
        _ => "Requests and replies appear here, with an explanation of each line.",
    };
    ui.label(RichText::new(text).weak());
}

fn list(ui: &mut Ui, model: &Model, log: &ProtocolLog, widgets: &mut WidgetState) {
    if log.entries().len() == 0 {
        placeholder(ui, model);
        return;
    }
    ScrollArea::vertical().id_salt("log").auto_shrink(false).stick_to_bottom(true).show(ui, |ui| {
        ui.spacing_mut().item_spacing.y = 2.0;
        widgets.row_heights.set_width(ui.available_width(), text_size(ui));
        for (number, entry) in log.entries() {
            row(ui, number, entry, widgets);
        }
    });
}

/// The name of a row for a screen reader.
pub(super) fn row_name(entry: &ProtocolEntry) -> String {
    let verb = match entry.direction() {
        Direction::Sent => "sent",
        Direction::Received => "received",
        Direction::Local => "note",
    };
    let (line, summary) = (entry.first_line(), entry.summary());
    format!("{verb} after {} s: {line} {summary}", entry.seconds()).trim_end().to_owned()
}

/// The texts of an entry, wrapped: its first line, what it means, and what breaks a rule.
pub(super) fn entry_text(ui: &Ui, entry: &ProtocolEntry, width: f32) -> Arc<Galley> {
    let scale = text_size(ui);
    let visuals = ui.visuals();
    let warn = warning(visuals.dark_mode);
    let ink = match entry.direction() {
        _ if entry.is_fault() => warn,
        Direction::Sent => accent_text(visuals.dark_mode),
        _ => visuals.text_color(),
    };
    let small = FontId::proportional(13.0 * scale);
    let font = if entry.is_sentence() { small.clone() } else { FontId::monospace(13.0 * scale) };
    let mut job = LayoutJob::simple(entry.first_line(), font, ink, width);
    let summary = entry.summary();
    let mut append = |text: &str, colour: Color32| {
        job.append(&format!("\n{text}"), 0.0, TextFormat::simple(small.clone(), colour));
    };
    if !summary.is_empty() {
        append(&summary, visuals.weak_text_color());
    }
    if !entry.is_sentence() {
        for remark in entry.remarks() {
            append(&format!("! {remark}"), warn);
        }
    }
    ui.fonts_mut(|fonts| fonts.layout_job(job))
}

fn row(ui: &mut Ui, number: usize, entry: &ProtocolEntry, widgets: &mut WidgetState) {
    let (width, scale) = (ui.available_width(), text_size(ui));
    let stacked = width < STACKED * scale;
    let left = if stacked { 20.0 } else { TEXT_LEFT } * scale;
    let above = if stacked { 20.0 * scale } else { 4.0 };
    let text_width = (width - left - 4.0).max(40.0);
    let known = widgets.row_heights.get(false, number as u64);
    let in_sight = known.is_none_or(|height| {
        ui.is_rect_visible(Rect::from_min_size(ui.cursor().min, vec2(width, height)))
    });
    // Out of sight, only the space is allocated.
    let galley = in_sight.then(|| entry_text(ui, entry, text_width));
    let laid_out = galley.as_ref().map(|galley| galley.size().y + above + 4.0);
    let height = laid_out.or(known).unwrap_or_default();
    widgets.row_heights.set(false, number as u64, height);
    let unfolds = !entry.is_sentence();
    let (area, response) = ui.allocate_exact_size(
        vec2(width, height),
        if unfolds { Sense::click() } else { Sense::hover() },
    );
    response.widget_info(|| {
        let role = if unfolds { Role::DisclosureTriangle } else { Role::Label };
        WidgetInfo::labeled(role, true, row_name(entry))
    });
    let open = widgets.unfolded.contains_key(&number);
    if let Some(galley) = galley {
        highlight(ui, area, &response, unfolds);
        let (weak, ink) = (ui.visuals().weak_text_color(), galley_ink(ui, entry));
        let (fold_mark, arrow) = (fold_mark(unfolds, open), arrow(entry.direction()));
        let painter = ui.painter();
        let mono = FontId::monospace(13.0 * scale);
        let at = |x: f32| pos2(area.left() + x * scale, area.top() + 4.0 + 9.0 * scale);
        painter.text(at(2.0), Align2::LEFT_CENTER, fold_mark, mono.clone(), weak);
        painter.text(at(16.0), Align2::LEFT_CENTER, arrow, FontId::monospace(15.0 * scale), ink);
        painter.text(at(90.0), Align2::RIGHT_CENTER, entry.seconds(), mono, weak);
        painter.galley(pos2(area.left() + left, area.top() + above), galley, ink);
    }
    if response.clicked() {
        toggle(widgets, number);
    }
    if open {
        unfolded(ui, number, entry, widgets);
    }
}

/// Unfolds or folds an entry.
pub(super) fn toggle(widgets: &mut WidgetState, number: usize) {
    if widgets.unfolded.remove(&number).is_none() {
        widgets.unfolded.insert(number, Vec2::ZERO);
    }
}

fn arrow(direction: Direction) -> &'static str {
    match direction {
        Direction::Sent => "\u{2192}",
        Direction::Received => "\u{2190}",
        Direction::Local => "\u{2022}",
    }
}

fn fold_mark(unfolds: bool, open: bool) -> &'static str {
    match (unfolds, open) {
        (false, _) => "",
        (true, true) => "\u{25be}",
        (true, false) => "\u{25b8}",
    }
}

/// The colour of an entry's arrow.
pub(super) fn galley_ink(ui: &Ui, entry: &ProtocolEntry) -> Color32 {
    let visuals = ui.visuals();
    match entry.direction() {
        _ if entry.is_fault() => warning(visuals.dark_mode),
        Direction::Sent => accent_text(visuals.dark_mode),
        _ => visuals.text_color(),
    }
}

/// Marks a row under the pointer, and the one with the keyboard's focus.
pub(super) fn highlight(ui: &Ui, area: Rect, response: &Response, unfolds: bool) {
    if response.hovered() && unfolds {
        ui.painter().rect_filled(area, 3.0, ui.visuals().widgets.hovered.bg_fill);
    }
    if response.has_focus() {
        let stroke = ui.visuals().widgets.hovered.bg_stroke;
        ui.painter().rect_stroke(area, 3.0, stroke, StrokeKind::Inside);
    }
}

/// Draws an entry's lines and their explanations, if they are in sight.
pub(super) fn unfolded(
    ui: &mut Ui,
    number: usize,
    entry: &ProtocolEntry,
    widgets: &mut WidgetState,
) {
    let (width, top) = (ui.available_width(), ui.cursor().min);
    let drawn = widgets.unfolded.get(&number).copied().unwrap_or_default();
    let same_width = drawn.x.total_cmp(&width).is_eq();
    if same_width && !ui.is_rect_visible(Rect::from_min_size(top, drawn)) {
        // Out of sight, only the space is allocated.
        ui.allocate_space(drawn);
    } else {
        let size = vec2(width, draw_unfolded(ui, number, entry));
        widgets.unfolded.entry(number).and_modify(|drawn| *drawn = size);
    }
}

/// Draws the lines on the left and their explanations on the right; returns the height.
fn draw_unfolded(ui: &mut Ui, number: usize, entry: &ProtocolEntry) -> f32 {
    let Some(explanation) = entry.exchange.explanation() else { return 0.0 };
    let dark = ui.visuals().dark_mode;
    let frame =
        egui::Frame::new().fill(ui.visuals().faint_bg_color).inner_margin(8).show(ui, |ui| {
            let width = ui.available_width();
            let half = (width - 12.0) / 2.0;
            egui::Grid::new(("unfolded", number)).num_columns(2).spacing([12.0, 4.0]).show(
                ui,
                |ui| {
                    for (line, sentence) in &explanation.lines {
                        for text in [RichText::new(line).monospace(), RichText::new(sentence)] {
                            ui.vertical(|ui| {
                                ui.set_width(half);
                                ui.add(egui::Label::new(text).wrap());
                            });
                        }
                        ui.end_row();
                    }
                },
            );
            for remark in &explanation.remarks {
                ui.horizontal_wrapped(|ui| {
                    ui.label(RichText::new("!").strong().color(warning(dark)));
                    ui.label(RichText::new(remark).color(warning(dark)));
                });
            }
        });
    frame.response.rect.height()
}

/// Draws an RTP header in rows of 32 bits.
fn last_header(ui: &mut Ui, packet: &Packet, scale: f32) {
    ui.separator();
    ui.horizontal_wrapped(|ui| {
        ui.label(RichText::new("Last RTP header").strong());
        ui.label(
            RichText::new(format!("followed by {} bytes of payload", packet.payload_len)).weak(),
        );
    });
    let header = &packet.header;
    let width = ui.available_width();
    let bit = width / 32.0;
    let scale = scale.max(0.8);
    let height = 38.0 * scale;
    let (area, response) =
        ui.allocate_exact_size(vec2(width, 3.0 * height + 12.0 * scale), Sense::hover());
    let flag = |set: bool| u8::from(set).to_string();
    let fields: [(usize, u8, u8, &str, String); 9] = [
        (0, 0, 2, "V", header.version.to_string()),
        (0, 2, 1, "P", flag(header.padding)),
        (0, 3, 1, "X", flag(header.extension)),
        (0, 4, 4, "CC", header.csrc_count.to_string()),
        (0, 8, 1, "M", flag(header.marker)),
        (0, 9, 7, "PT", header.payload_type.to_string()),
        (0, 16, 16, "sequence number", header.sequence_number.to_string()),
        (1, 0, 32, "timestamp", header.timestamp.to_string()),
        (2, 0, 32, "SSRC", format!("{:08x}", header.ssrc)),
    ];
    let values = fields.iter().map(|(.., name, value)| format!("{name} {value}"));
    let label = format!("Last RTP header: {}", values.collect::<Vec<_>>().join(", "));
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &label));
    let (visuals, painter) = (ui.visuals(), ui.painter());
    let line: Stroke = visuals.widgets.noninteractive.bg_stroke;
    let (weak, ink) = (visuals.weak_text_color(), visuals.text_color());
    for number in [0u8, 8, 16, 24, 31] {
        let x = area.left() + (f32::from(number) + 0.5) * bit;
        let font = FontId::monospace(10.0 * scale);
        painter.text(pos2(x, area.top() + 5.0 * scale), Align2::CENTER_CENTER, number, font, weak);
    }
    for (row, first_bit, bits, name, value) in fields {
        #[allow(clippy::cast_precision_loss)] // There are three rows.
        let top = area.top() + 12.0 * scale + row as f32 * height;
        let left = area.left() + f32::from(first_bit) * bit;
        let cell = Rect::from_min_size(pos2(left, top), vec2(f32::from(bits) * bit, height));
        painter.rect_stroke(cell, 0.0, line, StrokeKind::Inside);
        let x = cell.center().x;
        let small = FontId::proportional(11.0 * scale);
        painter.text(pos2(x, top + 10.0 * scale), Align2::CENTER_CENTER, name, small, weak);
        let value_font = FontId::monospace(13.0 * scale);
        painter.text(pos2(x, top + 26.0 * scale), Align2::CENTER_CENTER, value, value_font, ink);
    }
}
