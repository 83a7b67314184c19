// SPDX-License-Identifier: MIT OR Apache-2.0
//! The keys of a profile, table by table. Parsing, errors and the test of the shipped profiles use these
//! lists.

use super::settings::{ClientLab, Extension, Lab, Profile, Times, check_ids};
use mjpeg_program::toml_file::{
    DeValue, Key, choice, choices, duration, key, number, quoted, read_choice, read_number,
    write_choice,
};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

/// The longest title in characters.
const MAX_TITLE: usize = 200;

/// The longest text of a button, in characters.
const MAX_TEXT: usize = 40;

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
        |title| quoted(title),
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

/// The keys of `[time]`.
pub(super) fn time_keys() -> Vec<Key<Times>> {
    vec![
        duration("start", TIMES, |it: &mut Times| &mut it.start),
        duration("reply", TIMES, |it| &mut it.reply),
        duration("first-packet", TIMES, |it| &mut it.first_packet),
        duration("stop", TIMES, |it| &mut it.stop),
        duration("disconnect", TIMES, |it| &mut it.disconnect),
        duration("total", TIMES, |it| &mut it.total),
    ]
}

/// A list of this many texts.
fn texts(
    name: &'static str,
    count: usize,
    field: fn(&mut ClientLab) -> &mut Vec<String>,
) -> Key<ClientLab> {
    let read = move |value: &DeValue| {
        let DeValue::Array(values) = value else { return None };
        let short = |text: &&str| !text.is_empty() && text.chars().count() <= MAX_TEXT;
        let text = |value: &DeValue| value.as_str().filter(short).map(ToOwned::to_owned);
        let texts: Option<Vec<String>> = values.iter().map(|it| text(it.get_ref())).collect();
        texts.filter(|texts| texts.len() == count)
    };
    let write = |texts: &Vec<String>| {
        let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
        format!("[{}]", texts.join(", "))
    };
    key(
        name,
        format!("a list of {count} texts of at most {MAX_TEXT} characters"),
        field,
        read,
        write,
    )
}

/// An expression that finds a number.
fn expression(name: &'static str, field: fn(&mut ClientLab) -> &mut String) -> Key<ClientLab> {
    let allowed = "a regular expression with a group for the number, or an empty text".to_owned();
    let read = |value: &DeValue| {
        let text = value.as_str()?;
        let finds = |text: &str| regex_lite::Regex::new(text).is_ok_and(|it| it.captures_len() > 1);
        (text.is_empty() || finds(text)).then(|| text.to_owned())
    };
    key(name, allowed, field, read, |text| quoted(text))
}

/// The keys of `[client]`.
pub(super) fn client_keys() -> Vec<Key<ClientLab>> {
    type C = ClientLab;
    let positions = key(
        "positions",
        "a list of four positions [x, y] in percent of the window, or an empty list".to_owned(),
        |it: &mut C| &mut it.positions,
        |value: &DeValue| {
            let DeValue::Array(values) = value else { return None };
            let percent = |value: &DeValue| u8::try_from(read_number(value, &(0..=100))?).ok();
            let position = |value: &DeValue| {
                let DeValue::Array(pair) = value else { return None };
                let pair: Vec<u8> =
                    pair.iter().map(|it| percent(it.get_ref())).collect::<Option<_>>()?;
                <[u8; 2]>::try_from(pair).ok()
            };
            let list: Vec<[u8; 2]> =
                values.iter().map(|it| position(it.get_ref())).collect::<Option<_>>()?;
            matches!(list.len(), 0 | 4).then_some(list)
        },
        |list: &Vec<[u8; 2]>| {
            let pairs: Vec<String> = list.iter().map(|[x, y]| format!("[{x}, {y}]")).collect();
            format!("[{}]", pairs.join(", "))
        },
    );
    vec![
        choice("press", |it: &mut C| &mut it.press),
        texts("buttons", 4, |it| &mut it.buttons),
        positions,
        texts("keys", 5, |it| &mut it.keys),
        duration("request", TIMES, |it: &mut C| &mut it.request),
        duration("end", TIMES, |it: &mut C| &mut it.end),
        duration("hand", TIMES, |it: &mut C| &mut it.hand),
        duration("total", TIMES, |it: &mut C| &mut it.total),
        expression("prints-lost", |it| &mut it.prints_lost),
        expression("prints-loss-percent", |it| &mut it.prints_loss_percent),
        expression("prints-frame-rate", |it| &mut it.prints_frame_rate),
        expression("prints-data-rate", |it| &mut it.prints_data_rate),
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
        is_secret: false,
    };
    check_ids().into_iter().map(key).collect()
}
