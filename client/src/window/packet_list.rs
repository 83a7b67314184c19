// SPDX-License-Identifier: MIT OR Apache-2.0
//! The packets page: a line for each RTP packet, as Wireshark's analysis of RTP streams has it.

use super::model::{Action, Model, WidgetState};
use super::style::{text_size, tool_row, warning};
use crate::player::{Order, PacketFormat, Protocol, RtpRecord, packet_times};
use eframe::egui::{
    Align2, Color32, FontId, Label, Rect, RichText, Role, ScrollArea, Sense, Ui, WidgetInfo, pos2,
    vec2,
};

/// A column.
struct Column {
    name: &'static str,
    /// Its width in characters.
    width: u8,
    /// Whether it is left out if there is little space.
    optional: bool,
}

const fn column(name: &'static str, width: u8, optional: bool) -> Column {
    Column { name, width, optional }
}

/// The columns. The texts of the last one are on its left side.
const COLUMNS: [Column; 8] = [
    column("No.", 7, true),
    column("Time s", 12, true),
    column("Sequence", 9, false),
    column("Delta ms", 9, false),
    column("Jitter ms", 10, false),
    column("Mark", 5, false),
    column("Bytes", 7, true),
    column("Status", 14, false),
];

/// The layout of the table.
struct TableLayout {
    font: FontId,
    /// Width of a character.
    character: f32,
    /// Whether the optional columns are left out.
    compact: bool,
}

impl TableLayout {
    fn columns(&self) -> impl Iterator<Item = (usize, &'static Column)> {
        let compact = self.compact;
        COLUMNS.iter().enumerate().filter(move |(_, it)| !(compact && it.optional))
    }

    fn width(&self) -> f32 {
        self.columns().map(|(_, it)| f32::from(it.width)).sum::<f32>() * self.character
    }
}

/// Draws the page.
pub fn show(ui: &mut Ui, model: &Model, widgets: &mut WidgetState, actions: &mut Vec<Action>) {
    let (numbers, problems) = model.capture.with_packets(|it| (it.numbers(), it.problems().len()));
    tool_row(ui, |ui| {
        ui.add_enabled_ui(!numbers.is_empty(), |ui| {
            ui.menu_button("Save\u{2026}", |ui| {
                for (name, format) in [
                    ("For Wireshark, with the messages (pcapng)", PacketFormat::Pcapng),
                    ("Table (CSV)", PacketFormat::Csv),
                    ("Table (text)", PacketFormat::Text),
                ] {
                    if ui.button(name).clicked() {
                        actions.push(Action::SavePackets(format));
                        ui.close();
                    }
                }
            });
        });
        ui.checkbox(&mut widgets.only_problems, "Only lost, late and repeated");
    });
    if numbers.is_empty() {
        let text = match (model.is_open(), model.status.protocol) {
            (true, Protocol::None) => "A file is played without packets.",
            _ => {
                "Each RTP packet appears here: when it arrived, and whether packets were lost, late or repeated."
            }
        };
        ui.label(RichText::new(text).weak());
        return;
    }
    ui.add(Label::new(summary(model)).wrap());
    let count =
        if widgets.only_problems { problems } else { usize_of(numbers.end - numbers.start) };
    table(ui, model, count, widgets.only_problems);
}

/// The counts since SETUP.
fn summary(model: &Model) -> String {
    let all = &model.status.statistics;
    format!(
        "{} received, {} lost ({:.2} %), {} late, {} repeated since Setup",
        all.received,
        all.lost,
        all.loss_ratio() * 100.0,
        all.late,
        all.repeated
    )
}

fn usize_of(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// The lines from `start` on, at most `count`; their numbers and packets.
fn lines(model: &Model, start: usize, count: usize, problems: bool) -> Vec<(u64, RtpRecord)> {
    model.capture.with_packets(|packets| {
        let of = |number: u64| packets.record(number).map(|record| (number, *record));
        if problems {
            packets.problems().iter().skip(start).take(count).filter_map(|it| of(*it)).collect()
        } else {
            let first = packets.numbers().start + start as u64;
            (first..).take(count).filter_map(of).collect()
        }
    })
}

fn table(ui: &mut Ui, model: &Model, count: usize, problems: bool) {
    let scale = text_size(ui);
    let font = FontId::monospace(13.0 * scale);
    let character = ui.fonts_mut(|fonts| fonts.glyph_width(&font, '0'));
    let height = 19.0 * scale;
    let mut layout = TableLayout { font, character, compact: false };
    layout.compact = layout.width() > ui.available_width();
    let width = layout.width();
    ScrollArea::both().id_salt("packets").auto_shrink(false).stick_to_bottom(true).show_viewport(
        ui,
        |ui, viewport| {
            // Far below 2^24 lines.
            #[allow(clippy::cast_precision_loss)]
            let total = (count as f32 + 1.0) * height;
            ui.set_width(width.max(ui.available_width()));
            ui.set_height(total.max(viewport.height()));
            let origin = ui.max_rect().min;
            // Below 2^24, and not negative.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let (first, visible) = (
                (viewport.min.y / height).floor().max(0.0) as usize,
                (viewport.height() / height).ceil() as usize + 1,
            );
            let rows = lines(model, first, visible, problems);
            for (at, (number, record)) in rows.iter().enumerate() {
                #[allow(clippy::cast_precision_loss)]
                let top = origin.y + ((first + at) as f32 + 1.0) * height;
                let area =
                    Rect::from_min_size(pos2(origin.x, top), vec2(ui.max_rect().width(), height));
                line(ui, area, (*number, record), &layout);
            }
            // The names of the columns stay at the top.
            let top = origin.y + viewport.min.y;
            let area =
                Rect::from_min_size(pos2(origin.x, top), vec2(ui.max_rect().width(), height));
            ui.painter().rect_filled(area, 0.0, ui.visuals().panel_fill);
            let ink = ui.visuals().strong_text_color();
            let names = COLUMNS.map(|it| it.name.to_owned());
            cells(ui, area, &names, &layout, ink);
            ui.painter().hline(
                area.x_range(),
                area.bottom(),
                ui.visuals().widgets.noninteractive.bg_stroke,
            );
        },
    );
}

fn line(ui: &Ui, area: Rect, (number, record): (u64, &RtpRecord), layout: &TableLayout) {
    let analysis = &record.analysis;
    let (delta, jitter) = packet_times(record);
    let texts = [
        (number + 1).to_string(),
        format!("{:.6}", record.at.as_secs_f64()),
        analysis.header.sequence_number.to_string(),
        delta,
        jitter,
        if analysis.header.marker { "M" } else { "" }.to_owned(),
        analysis.payload_len.to_string(),
        analysis.order.status(),
    ];
    let response = ui.interact(area, ui.scope_id().with(("packet", number)), Sense::hover());
    response.widget_info(|| {
        let name = COLUMNS.iter().zip(&texts).filter(|(_, text)| !text.is_empty());
        let name: Vec<String> = name.map(|(it, text)| format!("{} {text}", it.name)).collect();
        WidgetInfo::labeled(Role::Label, true, name.join(", "))
    });
    if !analysis.order.explanation().is_empty() {
        response.on_hover_text(analysis.order.explanation());
    }
    let visuals = ui.visuals();
    let ink = match analysis.order {
        order if order.is_problem() => warning(visuals.dark_mode),
        Order::OldPosition | Order::Undecided => visuals.weak_text_color(),
        _ => visuals.text_color(),
    };
    if analysis.order.is_problem() {
        ui.painter().rect_filled(area, 0.0, ink.gamma_multiply(0.12));
    } else if number % 2 == 1 {
        ui.painter().rect_filled(area, 0.0, visuals.faint_bg_color);
    }
    cells(ui, area, &texts, layout, ink);
}

fn cells(ui: &Ui, area: Rect, texts: &[String; COLUMNS.len()], layout: &TableLayout, ink: Color32) {
    let mut left = area.left();
    for (at, column) in layout.columns() {
        let right = left + f32::from(column.width) * layout.character;
        let (x, align) = if at + 1 == COLUMNS.len() {
            (left + 2.0 * layout.character, Align2::LEFT_CENTER)
        } else {
            (right, Align2::RIGHT_CENTER)
        };
        let text = texts.get(at).map_or("", String::as_str);
        ui.painter().text(pos2(x, area.center().y), align, text, layout.font.clone(), ink);
        left = right;
    }
}
