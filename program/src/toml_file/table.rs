// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the tables of a file, and collects the problems.

use super::value::{describe, quoted, shown};
use super::{FileError, FilePosition, FileProblem, Key};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The number of problems that are reported at a time.
const MAX_PROBLEMS: usize = 20;

/// The longest list of allowed keys in an error; of more, only the probable one is named.
const MAX_ALLOWED: usize = 25;

/// The keys of a table.
pub struct TableKeys<'a, T> {
    /// The table in errors, such as `in [lab]`.
    pub place: &'static str,
    /// The keys whose values are stored in a `T`.
    pub keys: &'a [Key<T>],
    /// Keys that the caller reads. Errors name them before `keys`.
    pub first: &'a [&'static str],
    /// Keys that the caller reads. Errors name them after `keys`.
    pub last: &'a [&'static str],
    /// The table that has a key which this one lacks, such as `in [time]`.
    pub elsewhere: &'a dyn Fn(&str) -> Option<&'static str>,
}

/// The problems of a file that is being read.
pub struct Problems<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    /// The problems by their byte offsets.
    found: BTreeMap<usize, FileProblem>,
}

/// Parses the bytes of a file and calls `read` with its root table, unless it is not TOML.
///
/// # Errors
/// All problems of the file, in its order.
pub fn parse(
    path: &Path,
    bytes: &[u8],
    read: impl FnOnce(&mut Problems<'_>, &DeTable<'_>),
) -> Result<(), Vec<FileError>> {
    let mut problems = Problems { path, bytes, found: BTreeMap::new() };
    match std::str::from_utf8(bytes) {
        Ok(text) => problems.parse(text.trim_start_matches('\u{feff}'), read),
        Err(error) => {
            let at = error.valid_up_to();
            problems.report(at, FileProblem::NotUtf8(bytes.get(at).copied().unwrap_or_default()));
        }
    }
    if problems.found.is_empty() {
        return Ok(());
    }
    let found = problems.found.iter().take(MAX_PROBLEMS);
    let error = |(at, problem): (&usize, &FileProblem)| FileError {
        position: problems.position(*at),
        problem: problem.clone(),
    };
    Err(found.map(error).collect())
}

impl Problems<'_> {
    fn parse(&mut self, text: &str, read: impl FnOnce(&mut Self, &DeTable<'_>)) {
        // A byte order mark is not part of the text.
        self.bytes = self.bytes.get(self.bytes.len() - text.len()..).unwrap_or_default();
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let at = error.span().map_or(text.len(), |span: Range<usize>| span.start);
            self.report(at, FileProblem::Syntax(one_line(error.message())));
        }
        // The text after a syntax error is probably read wrongly.
        if self.found.is_empty() {
            read(self, document.get_ref());
        }
    }

    /// Adds a problem at a byte offset, unless there is one at the same offset.
    pub fn report(&mut self, at: usize, problem: FileProblem) {
        self.found.entry(at).or_insert(problem);
    }

    /// Adds the problem that a value is not allowed.
    pub fn report_value(&mut self, key: &str, value: &Spanned<DeValue>, allowed: &str) {
        self.report_found(key, value, describe(value.get_ref()), allowed);
    }

    fn report_found(&mut self, key: &str, value: &Spanned<DeValue>, found: String, allowed: &str) {
        let (key, allowed) = (key.to_owned(), allowed.to_owned());
        self.report(value.span().start, FileProblem::Value { key, found, allowed });
    }

    /// The position of a byte offset.
    pub fn position(&self, at: usize) -> FilePosition {
        let before = self.bytes.get(..at).unwrap_or(self.bytes);
        let line = 1 + memchr::memchr_iter(b'\n', before).count();
        let start = memchr::memrchr(b'\n', before).map_or(0, |end| end + 1);
        let in_line = String::from_utf8_lossy(before.get(start..).unwrap_or_default());
        FilePosition { file: self.path.to_owned(), line, column: in_line.chars().count() + 1 }
    }

    /// A table in the root table.
    pub fn table<'t, 'd>(&mut self, root: &'t DeTable<'d>, name: &str) -> Option<&'t DeTable<'d>> {
        let value = root.get(name)?;
        if value.get_ref().as_table().is_none() {
            self.report_value(name, value, &format!("a table, [{name}]"));
        }
        value.get_ref().as_table()
    }

    /// Reads the keys of a table.
    pub fn read_table<T>(&mut self, table: &DeTable, keys: &TableKeys<T>, settings: &mut T) {
        for (name, value) in table {
            let text: &str = name.get_ref();
            if let Some(key) = keys.keys.iter().find(|key| key.name == text) {
                if !(key.read)(settings, value.get_ref()) {
                    let found = match value.get_ref() {
                        DeValue::String(_) if key.is_secret => "another text".to_owned(),
                        value => describe(value),
                    };
                    self.report_found(key.name, value, found, &key.allowed);
                }
            } else if !keys.first.contains(&text) && !keys.last.contains(&text) {
                self.report(name.span().start, unknown(text, keys));
            }
        }
    }
}

fn unknown<T>(found: &str, keys: &TableKeys<T>) -> FileProblem {
    let mut names = keys.first.to_vec();
    names.extend(keys.keys.iter().map(|key| key.name));
    names.extend(keys.last);
    let allowed = match names.get(MAX_ALLOWED..) {
        Some(rest) if !rest.is_empty() => {
            let first = names.get(..MAX_ALLOWED).unwrap_or_default().join(", ");
            format!("{first} and {} more", rest.len())
        }
        _ => names.join(", "),
    };
    FileProblem::UnknownKey {
        found: shown(found),
        place: keys.place,
        allowed,
        advice: advice(found, &names, keys.elsewhere),
    }
}

/// What was probably meant by an unknown key.
fn advice(found: &str, names: &[&str], elsewhere: &dyn Fn(&str) -> Option<&'static str>) -> String {
    let similar = found.to_lowercase().replace('_', "-");
    let distance = |name: &&&str| strsim::damerau_levenshtein(&similar, name);
    let nearest = names.iter().min_by_key(distance);
    if let Some(name) = nearest.filter(|name| distance(name) <= 1 + name.len() / 4) {
        return format!("; perhaps {} is meant", quoted(name));
    }
    match elsewhere(found) {
        Some(place) => format!("; the key belongs {place}"),
        None => String::new(),
    }
}

/// A message of the TOML parser in one line.
fn one_line(message: &str) -> String {
    message.lines().map(str::trim).collect::<Vec<_>>().join(", ")
}
