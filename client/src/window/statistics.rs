// SPDX-License-Identifier: MIT OR Apache-2.0
//! The statistics page: plots of the last minute, with a common time axis.

use super::model::{Action, Model, WidgetState};
use super::style::accent_text;
use crate::player::{History, Protocol, SAMPLE_INTERVAL, Sample, Statistics};
use eframe::egui::{
    self, Align, Align2, Button, FontId, Layout, RichText, ScrollArea, Ui, Vec2b, pos2, vec2,
};
use egui_plot::{GridMark, Line, Plot, PlotPoints, VLine, uniform_grid_spacer};
use std::fmt::Write;

/// Seconds on the time axis.
const SPAN: f64 = 60.0;

/// Height of the two lines of text of a plot.
const HEADINGS: f32 = 56.0;

/// Height of the times below the last plot, which apply to all plots.
const TIMES: f32 = 18.0;

/// A plot.
struct Series {
    name: &'static str,
    unit: &'static str,
    value: fn(&Sample) -> f64,
    /// Digits after the decimal point.
    digits: usize,
    /// Smallest maximum of the vertical axis.
    min_top: f64,
    /// Whether it is about packets, which a file does not have.
    network: bool,
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
        network: true,
        caption: |all, _| format!("{} received", format_bytes(all.bytes)),
    },
    Series {
        name: "Frames",
        unit: "frames/s",
        value: |it| it.frames_per_second,
        digits: 1,
        min_top: 10.0,
        network: false,
        caption: |all, _| format!("{} shown, {} not decoded", all.frames, all.undecoded),
    },
    Series {
        name: "Packet loss, last second",
        unit: "%",
        value: |it| it.loss * 100.0,
        digits: 2,
        min_top: 1.0,
        network: true,
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
        network: true,
        caption: |_, _| "of packet arrivals (RFC 3550 section 6.4.1)".to_owned(),
    },
    Series {
        name: "Time between frames",
        unit: "ms",
        value: |it| it.inter_arrival_ms,
        digits: 1,
        min_top: 50.0,
        network: true,
        caption: |_, _| "the longest in each quarter of a second".to_owned(),
    },
    Series {
        name: "Playout delay",
        unit: "ms",
        value: |it| it.playout_delay_ms,
        digits: 0,
        min_top: 100.0,
        network: true,
        caption: |_, _| "from a frame's arrival to its rendering".to_owned(),
    },
];

/// The parts of a line, which has a gap where no samples were taken: during a pause.
fn parts(points: Vec<[f64; 2]>) -> Vec<Vec<[f64; 2]>> {
    let longest = SAMPLE_INTERVAL.as_secs_f64() * 2.0;
    let mut parts: Vec<Vec<[f64; 2]>> = Vec::new();
    for point in points {
        match parts.last_mut() {
            Some(part) if part.last().is_some_and(|last| point[0] - last[0] <= longest) => {
                part.push(point);
            }
            _ => parts.push(vec![point]),
        }
    }
    parts
}

/// The top of the vertical axis: 1, 2 or 5 times a power of ten. Rare high values, one in 20, do not
/// count, so that they do not flatten the others.
fn axis_top(points: &[[f64; 2]], min_top: f64) -> f64 {
    let mut values: Vec<f64> = points.iter().map(|[_, y]| *y).collect();
    values.sort_by(f64::total_cmp);
    let usual = values.get((values.len() * 19 / 20).min(values.len().saturating_sub(1)));
    let highest = values.last().copied().unwrap_or(0.0);
    // A tenth is left above the line.
    let top = (highest.min(usual.copied().unwrap_or(0.0) * 2.0) * 1.1).max(min_top);
    let power = 10_f64.powf(top.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    steps.into_iter().find(|step| *step >= top - 1e-9).unwrap_or(top)
}

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
        let has_packets = model.status.protocol != Protocol::None;
        let shown: Vec<&Series> = SERIES.iter().filter(|it| has_packets || !it.network).collect();
        // Counts of plots are small.
        #[allow(clippy::cast_precision_loss)]
        let share = (ui.available_height() - TIMES - 8.0) / shown.len() as f32;
        let height = (share - HEADINGS).clamp(30.0, 130.0);
        let last_name = shown.last().map(|it| it.name);
        for series in shown {
            let is_last = last_name == Some(series.name);
            let age = draw_series(
                ui,
                series,
                &recent,
                selected,
                now,
                if is_last { height + TIMES } else { height },
                is_last,
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
    with_times: bool,
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
    let top = axis_top(&points, series.min_top);
    let peak =
        points.iter().copied().filter(|[_, y]| *y > top).max_by(|a, b| a[1].total_cmp(&b[1]));
    let ink = accent_text(ui.visuals().dark_mode);
    let marks = move |_| {
        [0.0, top / 2.0, top].map(|value| GridMark { value, step_size: top / 2.0 }).to_vec()
    };
    let plot = Plot::new(series.name)
        .height(height)
        .width(ui.available_width())
        .show_axes(Vec2b::new(with_times, false))
        .show_grid(Vec2b::TRUE)
        .x_grid_spacer(uniform_grid_spacer(|_| [SPAN, SPAN / 2.0, SPAN / 4.0]))
        .y_grid_spacer(marks)
        .x_axis_formatter(|mark, _| match mark.value {
            value if value > -0.5 => "now".to_owned(),
            // It would be cut off by the edge of the panel.
            value if value < 0.5 - SPAN => String::new(),
            value => format!("{value:.0} s"),
        })
        .allow_drag(Vec2b::FALSE)
        .allow_zoom(Vec2b::FALSE)
        .allow_scroll(Vec2b::FALSE)
        .allow_boxed_zoom(false)
        .allow_double_click_reset(false)
        .show_crosshair(false)
        .set_margin_fraction(vec2(0.0, 0.05))
        .default_x_bounds(-SPAN, 0.0)
        .default_y_bounds(0.0, top)
        .label_formatter(|_| None);
    let response = plot.show(ui, |plot| {
        plot.set_plot_bounds_x(-SPAN..=0.0);
        plot.set_plot_bounds_y(0.0..=top);
        for part in parts(points) {
            plot.line(Line::new(series.name, PlotPoints::from(part)).color(ink).width(1.5));
        }
        if let Some(age) = marked_age {
            plot.vline(
                VLine::new("selected sample", -age).color(ink.gamma_multiply(0.5)).width(1.0),
            );
        }
        plot.pointer_coordinate()
    });
    // The scale, inside the plot, where a label of an axis would take a third of its height.
    let area = *response.transform.frame();
    let font = FontId::proportional(11.0);
    let weak = ui.visuals().weak_text_color();
    let (left, painter) = (area.left() + 3.0, ui.painter());
    painter.text(pos2(left, area.top()), Align2::LEFT_TOP, top, font.clone(), weak);
    painter.text(pos2(left, area.bottom()), Align2::LEFT_BOTTOM, 0, font, weak);
    let label = format!("{}: {value:.*} {}", series.name, series.digits, series.unit);
    response.response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, &label));
    let mut caption = (series.caption)(all, selected);
    if let Some([at, value]) = peak {
        // Writing to a string does not fail.
        let _ = write!(
            caption,
            "; highest {value:.*} {}, {:.0} s ago",
            series.digits, series.unit, -at
        );
    }
    ui.label(RichText::new(caption).weak().small());
    let pointer = response.response.hovered().then_some(response.inner).flatten();
    pointer.map(|point| (-point.x).clamp(0.0, SPAN))
}

/// The current values, one line for each plot.
pub fn text(history: &History, all: &Statistics, protocol: Protocol) -> String {
    let mut out = String::new();
    if let Some(last) = history.last() {
        let has_packets = protocol != Protocol::None;
        for series in SERIES.iter().filter(|it| has_packets || !it.network) {
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
    use super::*;

    #[test]
    fn a_pause_is_a_gap_in_the_line() {
        let point = |at: f64| [at, 1.0];
        let points = [-9.0, -8.75, -8.4, -3.0, -2.75].map(point).to_vec();
        let want = [vec![-9.0, -8.75, -8.4], vec![-3.0, -2.75]];
        let want = want.map(|part| part.into_iter().map(point).collect::<Vec<_>>());
        assert_eq!(parts(points), want);
        assert_eq!(parts(Vec::new()), Vec::<Vec<[f64; 2]>>::new());
    }

    #[test]
    fn a_spike_does_not_flatten_the_rest() {
        let rows: [(&str, Vec<f64>, f64); 6] = [
            ("nothing", vec![], 10.0),
            ("below the smallest top", vec![3.0; 40], 10.0),
            ("even", vec![30.0; 40], 50.0),
            ("growing", (0..40).map(f64::from).collect(), 50.0),
            ("a spike", [vec![30.0; 39], vec![9000.0]].concat(), 100.0),
            ("often high", [vec![30.0; 30], vec![90.0; 10]].concat(), 100.0),
        ];
        for (name, values, want) in rows {
            let points: Vec<[f64; 2]> = values.into_iter().map(|value| [0.0, value]).collect();
            assert!((axis_top(&points, 10.0) - want).abs() < 1e-9, "{name}");
        }
    }

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
