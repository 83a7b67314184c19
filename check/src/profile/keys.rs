// SPDX-License-Identifier: MIT OR Apache-2.0
//! The keys of a profile, table by table. Parsing, errors and the test of the shipped profiles use these
//! lists.

use super::settings::{Extension, Lab, Profile, Times, check_ids};
use mjpeg_program::toml_file::{
    DURATION, DeValue, Key, choice, choices, key, number, read_choice, read_duration, read_number,
    write_choice, write_duration,
};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

/// The longest title in characters.
const MAX_TITLE: usize = 200;

/// The highest number of points.
const MAX_POINTS: u64 = 10_000;

/// The range of time limits.
const TIMES: RangeInclusive<Duration> = Duration::from_millis(50)..=Duration::from_hours(1);

/// The keys before all tables. The caller reads `inherits`.
pub(super) fn profile_keys() -> Vec<Key<Profile>> {
    let title = key(
        "title",
        format!("a text of at most {MAX_TITLE} characters"),
        |it: &mut Profile| &mut it.title,
        |value| {
            let is_short = |text: &&str| text.chars().count() <= MAX_TITLE;
            value.as_str().filter(is_short).map(mjpeg_program::log::printable)
        },
        |title| mjpeg_program::toml_file::quoted(title),
    );
    vec![title]
}

/// The keys of `[lab]`.
pub(super) fn lab_keys() -> Vec<Key<Lab>> {
    type L = Lab;
    let extensions = key(
        "extensions",
        format!("a list of {}", choices::<Extension>()),
        |it: &mut L| &mut it.extensions,
        |value: &DeValue| {
            let DeValue::Array(values) = value else { return None };
            values.iter().map(|value| read_choice(value.get_ref())).collect()
        },
        |extensions: &Vec<Extension>| {
            let names: Vec<String> = extensions.iter().map(write_choice).collect();
            format!("[{}]", names.join(", "))
        },
    );
    vec![
        choice("form", |it: &mut L| &mut it.form),
        number("frame-rate", 1..=120, |it: &mut L| &mut it.frame_rate),
        number("frame-rate-tolerance", 1..=90, |it: &mut L| &mut it.frame_rate_tolerance),
        number("session-min", 0..=u64::from(u32::MAX), |it: &mut L| &mut it.session_min),
        number("session-max", 0..=u64::from(u32::MAX), |it: &mut L| &mut it.session_max),
        number("first-sequence-number", 0..=65_535, |it: &mut L| &mut it.first_sequence_number),
        choice("marker", |it: &mut L| &mut it.marker),
        choice("timestamp", |it: &mut L| &mut it.timestamp),
        choice("fragments", |it: &mut L| &mut it.fragments),
        number("max-payload", 100..=65_495, |it: &mut L| &mut it.max_payload),
        extensions,
    ]
}

fn duration(name: &'static str, field: fn(&mut Times) -> &mut Duration) -> Key<Times> {
    let (start, end) = (write_duration(*TIMES.start()), write_duration(*TIMES.end()));
    let allowed = format!("{DURATION}, from {start} to {end}");
    let read = |value: &DeValue| read_duration(value).filter(|time| TIMES.contains(time));
    key(name, allowed, field, read, |time| write_duration(*time))
}

/// The keys of `[time]`.
pub(super) fn time_keys() -> Vec<Key<Times>> {
    vec![
        duration("start", |it| &mut it.start),
        duration("reply", |it| &mut it.reply),
        duration("first-packet", |it| &mut it.first_packet),
        duration("stop", |it| &mut it.stop),
        duration("disconnect", |it| &mut it.disconnect),
        duration("total", |it| &mut it.total),
    ]
}

/// The keys of `[points]`: the names of all checks.
pub(super) fn point_keys() -> Vec<Key<BTreeMap<&'static str, u32>>> {
    type P = BTreeMap<&'static str, u32>;
    let key = |id: &'static str| Key {
        name: id,
        allowed: format!("a whole number from 0 to {MAX_POINTS}"),
        read: Box::new(move |points: &mut P, value: &DeValue| {
            let number = read_number(value, &(0..=MAX_POINTS));
            let number = number.and_then(|number| u32::try_from(number).ok());
            number.map(|number| points.insert(id, number)).is_some()
        }),
        write: Box::new(move |points: &P| points.get(id).copied().unwrap_or(0).to_string()),
    };
    check_ids().into_iter().map(key).collect()
}
