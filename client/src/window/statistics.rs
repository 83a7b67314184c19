// SPDX-License-Identifier: MIT OR Apache-2.0
//! Small multiples of the last minute, on one time axis.

use super::model::{Action, Local, Model};
use super::style::accent_text;
use crate::player::{History, Sample, Statistics};
use eframe::egui::{self, Align, Button, Layout, RichText, ScrollArea, Ui, Vec2b, vec2};
use egui_plot::{Line, Plot, PlotPoints, VLine};
use std::fmt::Write;

/// Seconds on the time axis.
const SPAN: f64 = 60.0;

/// One plot: its name, its unit, how it is read from a sample, its digits, the least top of its
/// axis, and what stands below.
struct Series {
    name: &'static str,
    unit: &'static str,
    of: fn(&Sample) -> f64,
    digits: usize,
    least_top: f64,
    total: fn(&Statistics, &Sample) -> String,
}

const SERIES: [Series; 6] = [
    Series {
        name: "Data rate",
        unit: "Mbit/s",
        of: |it| it.bits_per_second / 1e6,
        digits: 2,
        least_top: 1.0,
        total: |all, _| format!("{} received", bytes(all.bytes)),
    },
    Series {
        name: "Frames",
        unit: "frames/s",
        of: |it| it.frames_per_second,
        digits: 1,
        least_top: 10.0,
        total: |all, _| format!("{} shown, {} not decoded", all.frames, all.undecoded),
    },
    Series {
        name: "Packet loss, last second",
        unit: "%",
        of: |it| it.loss * 100.0,
        digits: 2,
        least_top: 1.0,
        total: |all, it| {
            let whole = all.received + all.lost;
            format!("{} of {whole} packets lost in all, {:.2} %", all.lost, it.loss_in_all * 100.0)
        },
    },
    Series {
        name: "Jitter",
        unit: "ms",
        of: |it| it.jitter_ms,
        digits: 2,
        least_top: 5.0,
        total: |_, _| "of packets' arrivals, RFC 3550 section 6.4.1".to_owned(),
    },
    Series {
        name: "Time between frames",
        unit: "ms",
        of: |it| it.inter_arrival_ms,
        digits: 1,
        least_top: 50.0,
        total: |_, _| "the longest of each quarter of a second".to_owned(),
    },
    Series {
        name: "Playout delay",
        unit: "ms",
        of: |it| it.playout_delay_ms,
        digits: 0,
        least_top: 100.0,
        total: |_, _| "from a frame's arrival to its showing".to_owned(),
    },
];

/// `12.3 MB`.
fn bytes(count: u64) -> String {
    // Counts are far below 2^52.
    #[allow(clippy::cast_precision_loss)]
    let mut value = count as f64;
    let mut unit = "bytes";
    for next in ["kB", "MB", "GB", "TB"] {
        if value < 1000.0 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    if unit == "bytes" { format!("{count} bytes") } else { format!("{value:.1} {unit}") }
}

/// The page.
pub fn show(
    ui: &mut Ui,
    model: &Model,
    history: &History,
    local: &mut Local,
    actions: &mut Vec<Action>,
) {
    let full = history.last().is_some();
    ui.horizontal(|ui| {
        if ui.add_enabled(full, Button::new("Copy")).on_hover_text("The present values").clicked() {
            actions.push(Action::CopyStatistics);
        }
        if ui
            .add_enabled(full, Button::new("Save\u{2026}"))
            .on_hover_text("All samples, as CSV")
            .clicked()
        {
            actions.push(Action::SaveStatistics);
        }
        if let Some(ago) = local.read_at {
            ui.label(RichText::new(format!("{ago:.0} s ago")).weak());
        }
    });
    let Some(last) = history.last() else {
        let text = "While a movie plays, the last minute of it is drawn here.";
        ui.label(RichText::new(text).weak());
        return;
    };
    let now = last.at;
    let recent: Vec<&Sample> =
        history.samples().rev().take_while(|it| now - it.at <= SPAN).collect();
    let read = local.read_at.map_or(last, |ago| {
        let near = |it: &&Sample| (now - it.at - ago).abs();
        recent.iter().copied().min_by(|a, b| near(a).total_cmp(&near(b))).unwrap_or(last)
    });
    let mut hovered = None;
    ScrollArea::vertical().id_salt("plots").auto_shrink(false).show(ui, |ui| {
        let height = ((ui.available_height() - 8.0) / 6.0 - 62.0).clamp(36.0, 110.0);
        for series in &SERIES {
            let at = one(
                ui,
                series,
                &recent,
                read,
                now,
                height,
                local.read_at,
                &model.status.statistics,
            );
            hovered = hovered.or(at);
        }
    });
    local.read_at = hovered;
}

/// Draws one; where the pointer is, in seconds before now.
#[allow(clippy::too_many_arguments)] // What one plot is made of.
fn one(
    ui: &mut Ui,
    series: &Series,
    recent: &[&Sample],
    read: &Sample,
    now: f64,
    height: f32,
    mark: Option<f64>,
    all: &Statistics,
) -> Option<f64> {
    let value = (series.of)(read);
    ui.horizontal(|ui| {
        ui.label(series.name);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.label(RichText::new(series.unit).weak());
            let text = format!("{value:.*}", series.digits);
            ui.label(RichText::new(text).size(18.0).strong());
        });
    });
    let points: Vec<[f64; 2]> =
        recent.iter().rev().map(|it| [it.at - now, (series.of)(it)]).collect();
    let highest = points.iter().map(|[_, y]| *y).fold(series.least_top, f64::max);
    let ink = accent_text(ui.visuals().dark_mode);
    let plot = Plot::new(series.name)
        .height(height)
        .width(ui.available_width())
        .show_axes(Vec2b::FALSE)
        .show_grid(Vec2b::FALSE)
        .allow_drag(Vec2b::FALSE)
        .allow_zoom(Vec2b::FALSE)
        .allow_scroll(Vec2b::FALSE)
        .allow_boxed_zoom(false)
        .allow_double_click_reset(false)
        .show_crosshair(false)
        .set_margin_fraction(vec2(0.0, 0.05))
        .default_x_bounds(-SPAN, 0.0)
        .default_y_bounds(0.0, highest)
        .label_formatter(|_| None);
    let response = plot.show(ui, |plot| {
        plot.set_plot_bounds_x(-SPAN..=0.0);
        plot.set_plot_bounds_y(0.0..=highest * 1.15);
        plot.line(Line::new(series.name, PlotPoints::from(points)).color(ink).width(1.5));
        if let Some(ago) = mark {
            plot.vline(VLine::new("read here", -ago).color(ink.gamma_multiply(0.5)).width(1.0));
        }
        plot.pointer_coordinate()
    });
    let told = format!("{}: {value:.*} {}", series.name, series.digits, series.unit);
    response.response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, &told));
    ui.label(RichText::new((series.total)(all, read)).weak().small());
    let pointer = response.response.hovered().then_some(response.inner).flatten();
    pointer.map(|point| (-point.x).clamp(0.0, SPAN))
}

/// The present values, as lines of text.
pub fn text(history: &History, all: &Statistics) -> String {
    let mut out = String::new();
    if let Some(last) = history.last() {
        for series in &SERIES {
            let value = (series.of)(last);
            // Writing to a string does not fail.
            let _ = writeln!(
                out,
                "{}: {value:.*} {} ({})",
                series.name,
                series.digits,
                series.unit,
                (series.total)(all, last)
            );
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn bytes_have_their_unit() {
        let rows = [
            (0, "0 bytes"),
            (999, "999 bytes"),
            (1500, "1.5 kB"),
            (12_340_000, "12.3 MB"),
            (5_000_000_000, "5.0 GB"),
        ];
        for (count, want) in rows {
            assert_eq!(bytes(count), want);
        }
    }
}
