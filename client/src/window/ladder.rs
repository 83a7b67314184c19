// SPDX-License-Identifier: MIT OR Apache-2.0
//! The exchange as a ladder: the client on the left, the server on the right, time downwards.

use super::model::{Model, WidgetState};
use super::protocol;
use super::style::{accent_text, text_size, warning};
use crate::player::{Bundle, Direction, ProtocolEntry, ProtocolLog, Row, RtcpRecord, rtcp};
use eframe::egui::text::{LayoutJob, TextFormat};
use eframe::egui::{
    Align2, Color32, FontId, Galley, Painter, Rect, Role, ScrollArea, Sense, Shape, Stroke,
    StrokeKind, Ui, WidgetInfo, pos2, vec2,
};
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Width of the times, at the normal size of text.
const TIMES: f32 = 58.0;

/// Where the two lines are.
#[derive(Debug, Clone, Copy)]
struct Lines {
    client: f32,
    server: f32,
    scale: f32,
}

impl Lines {
    fn of(area: Rect, scale: f32) -> Self {
        let client = area.left() + TIMES * scale + 6.0;
        Self { client, server: area.right() - 8.0 - 4.0 * scale, scale }
    }

    /// Width of a text between the lines.
    fn text_width(self) -> f32 {
        (self.server - self.client - 30.0 * self.scale).max(60.0)
    }

    fn text_left(self) -> f32 {
        self.client + 12.0 * self.scale
    }
}

/// Draws the ladder.
pub fn show(ui: &mut Ui, model: &Model, log: &ProtocolLog, widgets: &mut WidgetState) {
    let rows: Vec<(u64, Row)> = model.capture.with_packets(|packets| {
        packets.rows().map(|(number, row)| (number, row.clone())).collect()
    });
    if rows.is_empty() {
        protocol::placeholder(ui, model);
        return;
    }
    let scale = text_size(ui);
    head(ui, model.capture.connection(), scale);
    ScrollArea::vertical().id_salt("ladder").auto_shrink(false).stick_to_bottom(true).show(
        ui,
        |ui| {
            ui.spacing_mut().item_spacing.y = 0.0;
            widgets.row_heights.set_width(ui.available_width(), scale);
            for (number, row) in &rows {
                draw(ui, *number, row, log, widgets);
            }
        },
    );
}

/// The names of the two ends.
fn head(ui: &mut Ui, connection: Option<(SocketAddr, SocketAddr)>, scale: f32) {
    let font = FontId::proportional(13.0 * scale);
    let height = 18.0 * scale;
    let (area, response) =
        ui.allocate_exact_size(vec2(ui.available_width(), 2.0 * height), Sense::hover());
    let (client, server) = connection.map_or((String::new(), String::new()), |(client, server)| {
        (client.to_string(), server.to_string())
    });
    response.widget_info(|| {
        let name = format!("Ladder: client {client} on the left, server {server} on the right");
        WidgetInfo::labeled(Role::Label, true, name)
    });
    let (strong, weak) = (ui.visuals().strong_text_color(), ui.visuals().weak_text_color());
    let small = FontId::monospace(11.0 * scale);
    let left = area.left() + 6.0;
    let right = area.right() - 6.0;
    for (x, align, name, address) in
        [(left, Align2::LEFT_TOP, "Client", client), (right, Align2::RIGHT_TOP, "Server", server)]
    {
        ui.painter().text(pos2(x, area.top()), align, name, font.clone(), strong);
        ui.painter().text(pos2(x, area.top() + height), align, address, small.clone(), weak);
    }
}

fn draw(ui: &mut Ui, number: u64, row: &Row, log: &ProtocolLog, widgets: &mut WidgetState) {
    let (entry, message) = match row {
        // The log has fewer entries than the ladder may have rows.
        Row::Message { number, .. } => match log.get(*number) {
            Some(entry) => (Some(entry), *number),
            None => return,
        },
        _ => (None, 0),
    };
    let width = ui.available_width();
    let scale = text_size(ui);
    let lines = Lines::of(Rect::from_min_size(ui.cursor().min, vec2(width, 0.0)), scale);
    let known = widgets.row_heights.get(true, number);
    let in_sight = known.is_none_or(|height| {
        ui.is_rect_visible(Rect::from_min_size(ui.cursor().min, vec2(width, height)))
    });
    // Out of sight, only the space is allocated.
    let galley = in_sight.then(|| text(ui, row, entry, lines.text_width()));
    let laid_out = galley.as_ref().map(|galley| galley.size().y + 20.0 * scale);
    let height = laid_out.or(known).unwrap_or_default();
    widgets.row_heights.set(true, number, height);
    let unfolds = entry.is_some_and(|entry| !entry.is_sentence());
    let sense = if unfolds { Sense::click() } else { Sense::hover() };
    let (area, response) = ui.allocate_exact_size(vec2(width, height), sense);
    response.widget_info(|| {
        let role = if unfolds { Role::DisclosureTriangle } else { Role::Label };
        WidgetInfo::labeled(role, true, name(row, entry))
    });
    if let Some(galley) = galley {
        protocol::highlight(ui, area, &response, unfolds);
        draw_row(ui, row, entry, area, galley);
    }
    if response.clicked() {
        protocol::toggle(widgets, message);
    }
    if let Some(entry) = entry.filter(|_| widgets.unfolded.contains_key(&message)) {
        protocol::unfolded(ui, message, entry, widgets);
    }
}

/// The name of a row for a screen reader.
fn name(row: &Row, entry: Option<&ProtocolEntry>) -> String {
    match (row, entry) {
        (_, Some(entry)) => protocol::row_name(entry),
        (Row::Packets(bundle), _) => {
            let (text, problems) = bundle_texts(bundle);
            format!("RTP after {} s: {text}{problems}", seconds(bundle.start))
        }
        (Row::Rtcp(record), _) => {
            let verb = if record.direction == Direction::Sent { "sent" } else { "received" };
            format!("RTCP {verb} after {} s: {}", seconds(record.at), rtcp_text(record))
        }
        (Row::Message { .. }, None) => String::new(),
    }
}

fn seconds(time: Duration) -> String {
    format!("{}.{:03}", time.as_secs(), time.subsec_millis())
}

fn rtcp_text(record: &RtcpRecord) -> String {
    rtcp::describe(&record.bytes).join("\n")
}

/// What the packets are, and what is wrong with them; empty if nothing is.
fn bundle_texts(bundle: &Bundle) -> (String, String) {
    let plural = |count: u64, noun: &str| {
        if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
    };
    let (first, last) = bundle.numbers;
    let mut text = format!(
        "{}, {}, sequence numbers {first} to {last}, {} bytes in {:.3} s",
        plural(bundle.packets, "RTP packet"),
        plural(bundle.frames, "frame"),
        bundle.bytes,
        bundle.end.saturating_sub(bundle.start).as_secs_f64()
    );
    if bundle.dropped > 0 {
        // Writing to a string does not fail.
        let _ = write!(text, "; {} of the old position, dropped", bundle.dropped);
    }
    let counts = [(bundle.lost, "lost"), (bundle.late, "late"), (bundle.repeated, "repeated")];
    let problems: Vec<String> = counts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    let problems =
        if problems.is_empty() { String::new() } else { format!("\n{}", problems.join(", ")) };
    (text, problems)
}

/// The text of a row, wrapped.
fn text(ui: &Ui, row: &Row, entry: Option<&ProtocolEntry>, width: f32) -> Arc<Galley> {
    let scale = text_size(ui);
    let visuals = ui.visuals();
    let small = FontId::proportional(13.0 * scale);
    let job = match (row, entry) {
        (_, Some(entry)) => return protocol::entry_text(ui, entry, width),
        (Row::Packets(bundle), _) => {
            let (text, problems) = bundle_texts(bundle);
            let mut job = LayoutJob::simple(text, small.clone(), visuals.text_color(), width);
            let warn = warning(visuals.dark_mode);
            job.append(&problems, 0.0, TextFormat::simple(small, warn));
            job
        }
        (Row::Rtcp(record), _) => {
            LayoutJob::simple(rtcp_text(record), small, visuals.weak_text_color(), width)
        }
        (Row::Message { .. }, None) => LayoutJob::default(),
    };
    ui.fonts_mut(|fonts| fonts.layout_job(job))
}

fn draw_row(ui: &Ui, row: &Row, entry: Option<&ProtocolEntry>, area: Rect, galley: Arc<Galley>) {
    let scale = text_size(ui);
    let lines = Lines::of(area, scale);
    let visuals = ui.visuals();
    let (weak, ink) = (visuals.weak_text_color(), visuals.text_color());
    let painter = ui.painter();
    let life = Stroke::new(1.5 * scale.min(1.5), visuals.widgets.noninteractive.bg_stroke.color);
    painter.vline(lines.client, area.y_range(), life);
    painter.vline(lines.server, area.y_range(), life);
    let time = match (row, entry) {
        (_, Some(entry)) => entry.at,
        (Row::Packets(bundle), _) => bundle.start,
        (Row::Rtcp(record), _) => record.at,
        (Row::Message { .. }, None) => return,
    };
    let mono = FontId::monospace(12.0 * scale);
    let at = pos2(lines.client - 8.0, area.top() + 6.0 * scale);
    painter.text(at, Align2::RIGHT_TOP, seconds(time), mono, weak);
    let indent = if matches!(row, Row::Packets(_)) { 7.0 * scale } else { 0.0 };
    let text_at = pos2(lines.text_left() + indent, area.top() + 6.0 * scale);
    let y = area.bottom() - 8.0 * scale;
    match (row, entry) {
        (_, Some(entry)) => {
            let colour = protocol::galley_ink(ui, entry);
            match entry.direction() {
                Direction::Local => {
                    let centre = pos2(lines.client, area.top() + 13.0 * scale);
                    painter.circle_filled(centre, 4.0 * scale, weak);
                }
                Direction::Received if entry.is_sentence() => {
                    let centre = pos2(lines.server, area.top() + 13.0 * scale);
                    painter.circle_filled(centre, 4.0 * scale, colour);
                }
                direction => {
                    arrow(painter, lines, y, direction, Stroke::new(1.5 * scale, colour), false);
                }
            }
        }
        (Row::Packets(bundle), _) => {
            let problem = bundle.lost + bundle.late + bundle.repeated > 0;
            let dark = visuals.dark_mode;
            let colour = if problem { warning(dark) } else { accent_text(dark) };
            band(painter, lines, area, colour);
        }
        (Row::Rtcp(record), _) => {
            arrow(painter, lines, y, record.direction, Stroke::new(scale, weak), true);
        }
        (Row::Message { .. }, None) => {}
    }
    painter.galley(text_at, galley, ink);
}

/// An arrow from one line to the other.
fn arrow(
    painter: &Painter,
    lines: Lines,
    y: f32,
    direction: Direction,
    stroke: Stroke,
    dashed: bool,
) {
    let (from, to) = match direction {
        Direction::Received => (lines.server, lines.client),
        _ => (lines.client, lines.server),
    };
    let points = [pos2(from, y), pos2(to, y)];
    if dashed {
        let (dash, gap) = (5.0 * lines.scale, 4.0 * lines.scale);
        painter.extend(Shape::dashed_line(&points, stroke, dash, gap));
    } else {
        painter.line_segment(points, stroke);
    }
    head_of_arrow(painter, lines.scale, to, y, (to - from).signum(), stroke.color);
}

fn head_of_arrow(painter: &Painter, scale: f32, x: f32, y: f32, towards: f32, colour: Color32) {
    let (length, half) = (9.0 * scale * towards, 4.5 * scale);
    let points = vec![pos2(x, y), pos2(x - length, y - half), pos2(x - length, y + half)];
    painter.add(Shape::convex_polygon(points, colour, Stroke::NONE));
}

/// Packets from the server: a band with an arrow's head.
fn band(painter: &Painter, lines: Lines, area: Rect, colour: Color32) {
    let scale = lines.scale;
    let left = lines.client + 9.0 * scale;
    let rect = Rect::from_min_max(
        pos2(left, area.top() + 2.0 * scale),
        pos2(lines.server - 1.0, area.bottom() - 4.0 * scale),
    );
    painter.rect_filled(rect, 2.0, colour.gamma_multiply(0.14));
    let stroke = Stroke::new(1.0, colour.gamma_multiply(0.6));
    painter.rect_stroke(rect, 2.0, stroke, StrokeKind::Inside);
    head_of_arrow(painter, scale, lines.client, rect.center().y, -1.0, colour);
}
