// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lists and frame rates in the configuration file: how they are read and written.

use gstmjpegfile::movie::FrameRate;
use mjpeg_program::toml_file::{DeValue, quoted};

/// What a frame rate may be.
pub(super) const FRAME_RATE: &str = "frames per second above 0, such as 20, 12.5 or \"30000/1001\"";

/// Reads a list of texts, each of which is valid.
pub(super) fn read_list<T>(value: &DeValue, parse: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    let values = value.as_array()?.iter();
    values.map(|value| parse(value.get_ref().as_str()?)).collect()
}

/// Writes a list of texts.
pub(super) fn write_list<T: ToString>(values: &[T]) -> String {
    let values: Vec<String> = values.iter().map(|value| quoted(&value.to_string())).collect();
    format!("[{}]", values.join(", "))
}

/// Reads a frame rate: a number, or a text with a number or a fraction.
pub(super) fn read_frame_rate(value: &DeValue) -> Option<FrameRate> {
    let text = match value {
        DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
        DeValue::Float(number) => number.as_str(),
        DeValue::String(text) => text,
        _ => return None,
    };
    text.parse().ok()
}

/// Writes a frame rate.
pub(super) fn write_frame_rate(rate: FrameRate) -> String {
    if rate.denominator() == 1 { rate.to_string() } else { format!("\"{rate}\"") }
}
