// SPDX-License-Identifier: MIT OR Apache-2.0
//! The protocol page: a table of requests and replies, which unfold into lines with explanations;
//! and the last RTP header, drawn as in RFC 3550 section 5.1.

use super::model::{Action, Model, WidgetState};
use super::style::{accent_text, warning};
use crate::player::{Direction, Packet, Protocol, ProtocolEntry, ProtocolLog};
use eframe::egui::text::{LayoutJob, TextWrapping};
use eframe::egui::{
    self, Align2, Button, Color32, FontId, Pos2, Rect, Response, RichText, Role, ScrollArea, Sense,
    Stroke, StrokeKind, Ui, Vec2, WidgetInfo, pos2, vec2,
};

/// Horizontal position of the text in a row.
const TEXT_LEFT: f32 = 100.0;

/// Height of the drawing of the last RTP header.
const HEADER_HEIGHT: f32 = 176.0;

/// Draws the page.
pub fn show(
    ui: &mut Ui,
    model: &Model,
    log: &ProtocolLog,
    widgets: &mut WidgetState,
    actions: &mut Vec<Action>,
) {
    let table_height = ui.available_height()
        - if model.status.last_packet.is_some() { HEADER_HEIGHT } else { 0.0 };
    ui.allocate_ui(vec2(ui.available_width(), table_height), |ui| {
        ui.set_min_height(table_height);
        table(ui, model, log, widgets, actions);
    });
    if let Some(packet) = &model.status.last_packet {
        last_header(ui, packet);
    }
}

fn table(
    ui: &mut Ui,
    model: &Model,
    log: &ProtocolLog,
    widgets: &mut WidgetState,
    actions: &mut Vec<Action>,
) {
    ui.horizontal(|ui| {
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
    if log.entries().len() == 0 {
        let text = match (model.is_open(), model.status.protocol) {
            (true, Protocol::None) => "A file is played without a protocol.",
            _ => "Requests and replies appear here, with an explanation of each line.",
        };
        ui.label(RichText::new(text).weak());
        return;
    }
    ScrollArea::vertical().id_salt("log").auto_shrink(false).stick_to_bottom(true).show(ui, |ui| {
        ui.spacing_mut().item_spacing.y = 2.0;
        for (number, entry) in log.entries() {
            row(ui, number, entry, widgets);
        }
    });
}

fn row(ui: &mut Ui, number: usize, entry: &ProtocolEntry, widgets: &mut WidgetState) {
    let dark = ui.visuals().dark_mode;
    let open = widgets.unfolded.contains_key(&number);
    let (arrow, verb) = match entry.direction() {
        Direction::Sent => ("\u{2192}", "sent"),
        Direction::Received => ("\u{2190}", "received"),
        Direction::Local => ("\u{2022}", "note"),
    };
    let unfolds = !entry.is_sentence();
    let height = if unfolds { 42.0 } else { 26.0 };
    let (area, response) = ui.allocate_exact_size(
        vec2(ui.available_width(), height),
        if unfolds { Sense::click() } else { Sense::hover() },
    );
    let time = entry.seconds();
    response.widget_info(|| {
        let (line, summary) = (entry.first_line(), entry.summary());
        let label = format!("{verb} after {time} s: {line} {summary}");
        let role = if unfolds { Role::DisclosureTriangle } else { Role::Label };
        WidgetInfo::labeled(role, true, label.trim_end())
    });
    if ui.is_rect_visible(area) {
        let fold_mark = match (unfolds, open) {
            (false, _) => "",
            (true, true) => "\u{25be}",
            (true, false) => "\u{25b8}",
        };
        let outgoing = entry.direction() == Direction::Sent;
        let ink = if outgoing { accent_text(dark) } else { ui.visuals().text_color() };
        draw_row(ui, entry, (area, &response), &time, (fold_mark, arrow, ink));
    }
    if response.clicked() {
        if open {
            widgets.unfolded.remove(&number);
        } else {
            widgets.unfolded.insert(number, Vec2::ZERO);
        }
    }
    if !unfolds {
        response.on_hover_ui(|ui| {
            ui.label(entry.first_line());
        });
    }
    if open {
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
}

fn draw_row(
    ui: &Ui,
    entry: &ProtocolEntry,
    (area, response): (Rect, &Response),
    time: &str,
    (fold_mark, arrow, ink): (&str, &str, Color32),
) {
    let unfolds = !entry.is_sentence();
    if response.hovered() && unfolds {
        ui.painter().rect_filled(area, 3.0, ui.visuals().widgets.hovered.bg_fill);
    }
    if response.has_focus() {
        let stroke = ui.visuals().widgets.hovered.bg_stroke;
        ui.painter().rect_stroke(area, 3.0, stroke, StrokeKind::Inside);
    }
    let weak = ui.visuals().weak_text_color();
    let mono = FontId::monospace(13.0);
    let painter = ui.painter();
    let at = |x: f32| pos2(area.left() + x, area.top() + 13.0);
    painter.text(at(4.0), Align2::LEFT_CENTER, fold_mark, mono.clone(), weak);
    painter.text(at(18.0), Align2::LEFT_CENTER, arrow, FontId::monospace(15.0), ink);
    painter.text(at(88.0), Align2::RIGHT_CENTER, time, mono.clone(), weak);
    let mut left = TEXT_LEFT;
    if !entry.remarks().is_empty() {
        let mark = FontId::proportional(16.0);
        painter.text(at(left), Align2::LEFT_CENTER, "!", mark, warning(ui.visuals().dark_mode));
        left += 12.0;
    }
    let font = if unfolds { mono } else { FontId::proportional(13.0) };
    let right = area.width() - 4.0;
    draw_truncated(
        ui,
        &entry.first_line(),
        font,
        ink,
        pos2(area.left() + left, area.top() + 4.0),
        right - left,
    );
    let below = pos2(area.left() + TEXT_LEFT, area.top() + 22.0);
    let small = FontId::proportional(13.0);
    draw_truncated(ui, &entry.summary(), small, weak, below, right - TEXT_LEFT);
}

/// Draws text on one line; an ellipsis replaces what is beyond `width`.
fn draw_truncated(ui: &Ui, text: &str, font: FontId, ink: Color32, at: Pos2, width: f32) {
    let mut job = LayoutJob::simple_singleline(text.to_owned(), font, ink);
    job.wrap = TextWrapping::truncate_at_width(width);
    let galley = ui.fonts_mut(|fonts| fonts.layout_job(job));
    ui.painter().galley(at, galley, ink);
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
fn last_header(ui: &mut Ui, packet: &Packet) {
    ui.separator();
    ui.horizontal(|ui| {
        ui.label(RichText::new("Last RTP header").strong());
        ui.label(
            RichText::new(format!("followed by {} bytes of payload", packet.payload_len)).weak(),
        );
    });
    let header = &packet.header;
    let width = ui.available_width();
    let bit = width / 32.0;
    let height = 38.0;
    let (area, response) = ui.allocate_exact_size(vec2(width, 3.0 * height + 12.0), Sense::hover());
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
        let font = FontId::monospace(10.0);
        painter.text(pos2(x, area.top() + 5.0), Align2::CENTER_CENTER, number, font, weak);
    }
    for (row, first_bit, bits, name, value) in fields {
        #[allow(clippy::cast_precision_loss)] // There are three rows.
        let top = area.top() + 12.0 + row as f32 * height;
        let left = area.left() + f32::from(first_bit) * bit;
        let cell = Rect::from_min_size(pos2(left, top), vec2(f32::from(bits) * bit, height));
        painter.rect_stroke(cell, 0.0, line, StrokeKind::Inside);
        let x = cell.center().x;
        let small = FontId::proportional(11.0);
        painter.text(pos2(x, top + 10.0), Align2::CENTER_CENTER, name, small, weak);
        let value_font = FontId::monospace(13.0);
        painter.text(pos2(x, top + 26.0), Align2::CENTER_CENTER, value, value_font, ink);
    }
}
