// SPDX-License-Identifier: MIT OR Apache-2.0
//! A key of a table, as one row of a list.

use super::value::{
    DURATION, choices, read_choice, read_duration, read_number, write_choice, write_duration,
};
use clap::ValueEnum;
use std::ops::RangeInclusive;
use std::time::Duration;
use toml::de::DeValue;

type Read<T> = Box<dyn Fn(&mut T, &DeValue) -> bool>;
type Write<T> = Box<dyn Fn(&T) -> String>;

/// One key of a table, whose values are stored in a `T`.
pub struct Key<T> {
    /// The name of the key.
    pub name: &'static str,
    /// What its value may be, for errors.
    pub allowed: String,
    /// Stores a value; returns `false` if it is not allowed.
    pub read: Read<T>,
    /// The value as it is written in the file.
    pub write: Write<T>,
    /// Whether errors, which are logged, do not repeat its value.
    pub is_secret: bool,
}

/// A key whose value is stored in one field.
pub fn key<T: Clone + 'static, V: Clone + 'static>(
    name: &'static str,
    allowed: String,
    field: fn(&mut T) -> &mut V,
    read: impl Fn(&DeValue) -> Option<V> + 'static,
    write: impl Fn(&V) -> String + 'static,
) -> Key<T> {
    let store = move |settings: &mut T, value: &DeValue| {
        read(value).map(|value| *field(settings) = value).is_some()
    };
    let write = move |settings: &T| write(field(&mut settings.clone()));
    Key { name, allowed, read: Box::new(store), write: Box::new(write), is_secret: false }
}

/// A key whose value is one of the names of an enum.
pub fn choice<T: Clone + 'static, E: ValueEnum + 'static>(
    name: &'static str,
    field: fn(&mut T) -> &mut E,
) -> Key<T> {
    key(name, choices::<E>(), field, read_choice, write_choice)
}

/// A key whose value is true or false.
pub fn boolean<T: Clone + 'static>(name: &'static str, field: fn(&mut T) -> &mut bool) -> Key<T> {
    // `DeValue::as_bool` is not general over the lifetime of the value.
    let read = |value: &DeValue| match value {
        DeValue::Boolean(value) => Some(*value),
        _ => None,
    };
    key(name, "true or false".to_owned(), field, read, ToString::to_string)
}

/// A key whose value is a whole number of a range.
pub fn number<T: Clone + 'static, N>(
    name: &'static str,
    range: RangeInclusive<u64>,
    field: fn(&mut T) -> &mut N,
) -> Key<T>
where
    N: TryFrom<u64> + ToString + Clone + 'static,
{
    let allowed = format!("a whole number from {} to {}", range.start(), range.end());
    let read = move |value: &DeValue| N::try_from(read_number(value, &range)?).ok();
    key(name, allowed, field, read, ToString::to_string)
}

/// A key whose value is a time of a range.
pub fn duration<T: Clone + 'static>(
    name: &'static str,
    range: RangeInclusive<Duration>,
    field: fn(&mut T) -> &mut Duration,
) -> Key<T> {
    let (start, end) = (write_duration(*range.start()), write_duration(*range.end()));
    let allowed = format!("{DURATION}, from {start} to {end}");
    let read = move |value: &DeValue| read_duration(value).filter(|time| range.contains(time));
    key(name, allowed, field, read, |time| write_duration(*time))
}
