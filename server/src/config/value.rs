// SPDX-License-Identifier: MIT OR Apache-2.0
//! Values of the configuration file: how they are read, written and described.

use clap::ValueEnum;
use gstmjpegfile::movie::FrameRate;
use mjpeg_program::log::printable;
use std::ops::RangeInclusive;
use std::time::Duration;
use toml::de::DeValue;

/// The number of characters of a value that an error repeats.
const MAX_SHOWN: usize = 60;

/// What a duration may be.
pub(super) const DURATION: &str = "a time such as \"500ms\", \"10s\" or \"2m\"";

/// What a frame rate may be.
pub(super) const FRAME_RATE: &str = "frames per second above 0, such as 20, 12.5 or \"30000/1001\"";

/// Reads a whole number of a range.
pub(super) fn read_number(value: &DeValue, range: &RangeInclusive<u64>) -> Option<u64> {
    let number = value.as_integer()?;
    let number = u64::from_str_radix(number.as_str(), number.radix()).ok()?;
    range.contains(&number).then_some(number)
}

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

/// Reads a time: a whole number and its unit.
pub(super) fn read_duration(value: &DeValue) -> Option<Duration> {
    let text = value.as_str()?;
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        "h" => Some(Duration::from_secs(number.checked_mul(3600)?)),
        _ => None,
    }
}

/// Writes a time in the largest unit in which it is whole.
pub(super) fn write_duration(time: Duration) -> String {
    match time.as_secs() {
        _ if time.subsec_millis() > 0 => format!("\"{}ms\"", time.as_millis()),
        seconds if seconds > 0 && seconds.is_multiple_of(3600) => {
            format!("\"{}h\"", seconds / 3600)
        }
        seconds if seconds > 0 && seconds.is_multiple_of(60) => format!("\"{}m\"", seconds / 60),
        seconds => format!("\"{seconds}s\""),
    }
}

/// Reads one of the names of an enum.
pub(super) fn read_choice<E: ValueEnum>(value: &DeValue) -> Option<E> {
    E::from_str(value.as_str()?, false).ok()
}

/// Writes the name of a variant.
pub(super) fn write_choice<E: ValueEnum>(choice: &E) -> String {
    let name = choice.to_possible_value();
    quoted(name.as_ref().map_or("", |name| name.get_name()))
}

/// The names of an enum, for errors.
pub(super) fn choices<E: ValueEnum>() -> String {
    let names: Vec<String> = E::value_variants().iter().map(write_choice).collect();
    match names.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => names.concat(),
    }
}

/// A text as TOML has it, in quotes.
pub(super) fn quoted(text: &str) -> String {
    let char = |char: char| match char {
        '"' | '\\' => format!("\\{char}"),
        char if char.is_control() => format!("\\u{:04x}", u32::from(char)),
        char => char.to_string(),
    };
    format!("\"{}\"", text.chars().map(char).collect::<String>())
}

/// A value for an error: what it is, cut to a length that fits a line.
pub(super) fn describe(value: &DeValue) -> String {
    match value {
        DeValue::String(text) => format!("\"{}\"", shown(text)),
        DeValue::Integer(number) => format!("the number {}", shown(number.as_str())),
        DeValue::Float(number) => format!("the number {}", shown(number.as_str())),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(time) => format!("the date {time}"),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// A text of the file for an error: without control characters, and not too long.
pub(super) fn shown(text: &str) -> String {
    let cut: String = text.chars().take(MAX_SHOWN).collect();
    let more = if cut.len() < text.len() { "..." } else { "" };
    let printable = printable(&cut).replace('\n', "\\n").replace('\t', "\\t");
    format!("{printable}{more}")
}
