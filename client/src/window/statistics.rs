// SPDX-License-Identifier: MIT OR Apache-2.0
//! The statistics page: plots of the last minute, with a common time axis.

use super::model::{Action, Model, WidgetState};
use super::style::accent_text;
use crate::player::{History, Sample, Statistics};
use eframe::egui::{self, Align, Button, Layout, RichText, ScrollArea, Ui, Vec2b, vec2};
use egui_plot::{Line, Plot, PlotPoints, VLine};
use std::fmt::Write;

/// Seconds on the time axis.
const SPAN: f64 = 60.0;

/// A plot.
struct Series {
    name: &'static str,
    unit: &'static str,
    value: fn(&Sample) -> f64,
    /// Digits after the decimal point.
    digits: usize,
    /// Smallest maximum of the vertical axis.
    min_top: f64,
    /// Text below the plot.
    caption: fn(&Statistics, &Sample) -> String,
}

const SERIES: [Series; 6] = [
    Series {
        name: "Data rate",
        unit: "Mbit/s",
        value: |it| it.bits_per_second / 1e6,
        digits: 2,
        min_top: 1.0,
        caption: |all, _| format!("{} received", format_bytes(all.bytes)),
    },
    Series {
        name: "Frames",
        unit: "frames/s",
        value: |it| it.frames_per_second,
        digits: 1,
        min_top: 10.0,
        caption: |all, _| format!("{} shown, {} not decoded", all.frames, all.undecoded),
    },
    Series {
        name: "Packet loss, last second",
        unit: "%",
        value: |it| it.loss * 100.0,
        digits: 2,
        min_top: 1.0,
        caption: |all, it| {
            let sent = all.received + all.lost;
            format!("{} of {sent} packets lost in total, {:.2} %", all.lost, it.total_loss * 100.0)
        },
    },
    Series {
        name: "Jitter",
        unit: "ms",
        value: |it| it.jitter_ms,
        digits: 2,
        min_top: 5.0,
        caption: |_, _| "of packet arrivals (RFC 3550 section 6.4.1)".to_owned(),
    },
    Series {
        name: "Time between frames",
        unit: "ms",
        value: |it| it.inter_arrival_ms,
        digits: 1,
        min_top: 50.0,
        caption: |_, _| "the longest in each quarter of a second".to_owned(),
    },
    Series {
        name: "Playout delay",
        unit: "ms",
        value: |it| it.playout_delay_ms,
        digits: 0,
        min_top: 100.0,
        caption: |_, _| "from a frame's arrival to its rendering".to_owned(),
    },
];

/// Formats a number of bytes with its unit, as in `12.3 MB`.
fn format_bytes(count: u64) -> String {
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

/// Draws the page.
pub fn show(
    ui: &mut Ui,
    model: &Model,
    history: &History,
    widgets: &mut WidgetState,
    actions: &mut Vec<Action>,
) {
    let has_samples = history.last().is_some();
    ui.horizontal(|ui| {
        if ui
            .add_enabled(has_samples, Button::new("Copy"))
            .on_hover_text("The current values")
            .clicked()
        {
            actions.push(Action::CopyStatistics);
        }
        if ui
            .add_enabled(has_samples, Button::new("Save\u{2026}"))
            .on_hover_text("All samples, as CSV")
            .clicked()
        {
            actions.push(Action::SaveStatistics);
        }
        if let Some(age) = widgets.sample_age {
            ui.label(RichText::new(format!("{age:.0} s ago")).weak());
        }
    });
    let Some(last) = history.last() else {
        let text = "While a movie plays, its statistics of the last minute appear here.";
        ui.label(RichText::new(text).weak());
        return;
    };
    let now = last.at;
    let recent: Vec<&Sample> =
        history.samples().rev().take_while(|it| now - it.at <= SPAN).collect();
    let selected = widgets.sample_age.map_or(last, |age| {
        let distance = |it: &&Sample| (now - it.at - age).abs();
        recent.iter().copied().min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(last)
    });
    let mut hovered_age = None;
    ScrollArea::vertical().id_salt("plots").auto_shrink(false).show(ui, |ui| {
        let height = ((ui.available_height() - 8.0) / 6.0 - 62.0).clamp(36.0, 110.0);
        for series in &SERIES {
            let age = draw_series(
                ui,
                series,
                &recent,
                selected,
                now,
                height,
                widgets.sample_age,
                &model.status.statistics,
            );
            hovered_age = hovered_age.or(age);
        }
    });
    widgets.sample_age = hovered_age;
}

/// Draws a plot. Returns the age in seconds of the sample under the pointer.
#[allow(clippy::too_many_arguments)] // Data and layout of one plot.
fn draw_series(
    ui: &mut Ui,
    series: &Series,
    recent: &[&Sample],
    selected: &Sample,
    now: f64,
    height: f32,
    marked_age: Option<f64>,
    all: &Statistics,
) -> Option<f64> {
    let value = (series.value)(selected);
    ui.horizontal(|ui| {
        ui.label(series.name);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.label(RichText::new(series.unit).weak());
            let text = format!("{value:.*}", series.digits);
            ui.label(RichText::new(text).size(18.0).strong());
        });
    });
    let points: Vec<[f64; 2]> =
        recent.iter().rev().map(|it| [it.at - now, (series.value)(it)]).collect();
    let highest = points.iter().map(|[_, y]| *y).fold(series.min_top, f64::max);
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
        if let Some(age) = marked_age {
            plot.vline(
                VLine::new("selected sample", -age).color(ink.gamma_multiply(0.5)).width(1.0),
            );
        }
        plot.pointer_coordinate()
    });
    let label = format!("{}: {value:.*} {}", series.name, series.digits, series.unit);
    response.response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, &label));
    ui.label(RichText::new((series.caption)(all, selected)).weak().small());
    let pointer = response.response.hovered().then_some(response.inner).flatten();
    pointer.map(|point| (-point.x).clamp(0.0, SPAN))
}

/// The current values, one line for each plot.
pub fn text(history: &History, all: &Statistics) -> String {
    let mut out = String::new();
    if let Some(last) = history.last() {
        for series in &SERIES {
            let value = (series.value)(last);
            // Writing to a string does not fail.
            let _ = writeln!(
                out,
                "{}: {value:.*} {} ({})",
                series.name,
                series.digits,
                series.unit,
                (series.caption)(all, last)
            );
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::format_bytes;

    #[test]
    fn bytes_are_formatted_with_their_unit() {
        let rows = [
            (0, "0 bytes"),
            (999, "999 bytes"),
            (1500, "1.5 kB"),
            (12_340_000, "12.3 MB"),
            (5_000_000_000, "5.0 GB"),
        ];
        for (count, want) in rows {
            assert_eq!(format_bytes(count), want);
        }
    }
}
