// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds, reads and checks the configuration file.

use super::error::{ConfigError, FileError, Problem};
use super::keys::{Key, MOUNT_ONLY, limit_keys, mount_keys, server_keys, user_keys};
use super::settings::MountSettings;
use super::value::{describe, quoted, shown};
use super::{Config, FilePosition, MountConfig, apply_flags_of_mounts, path_in_file};
use crate::access::users::{User, UserRule};
use crate::cli::Arguments;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The longest configuration file in bytes.
const MAX_LENGTH: u64 = 1024 * 1024;

/// The number of problems that are reported at a time.
const MAX_PROBLEMS: usize = 20;

/// The configuration file that is read if the command line names none: the first one that exists.
pub(super) fn default_path() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from).filter(|it| it.is_absolute());
    let home = || variable("HOME").map(|home| home.join(".config"));
    let of_user = variable("XDG_CONFIG_HOME").or_else(home);
    let folders = of_user.into_iter().chain([PathBuf::from("/etc")]);
    let mut paths = folders.map(|folder| folder.join("mjpeg-rtsp").join("server.toml"));
    paths.find(|path| path.symlink_metadata().is_ok())
}

/// Reads the bytes of the file. Waits for no other process: a FIFO is refused.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    let mut options = File::options();
    let file = options.read(true).custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits()).open(path);
    let file = file.map_err(unreadable)?;
    let kind = file.metadata().map_err(unreadable)?.file_type();
    let found = match kind {
        _ if kind.is_file() => None,
        _ if kind.is_dir() => Some("a folder"),
        _ if kind.is_fifo() => Some("a FIFO"),
        _ => Some("a device"),
    };
    if let Some(found) = found {
        return Err(ConfigError::NotRegular { path: path.to_owned(), found });
    }
    let mut bytes = Vec::new();
    file.take(MAX_LENGTH + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_LENGTH {
        return Err(ConfigError::TooLong { path: path.to_owned(), limit: MAX_LENGTH });
    }
    Ok(bytes)
}

/// Reads a configuration from the bytes of a file. The flags of the command line win.
pub(super) fn parse(
    path: &Path,
    bytes: &[u8],
    arguments: &Arguments,
    config: &mut Config,
) -> Result<(), ConfigError> {
    let mut parser = Parser { path, bytes, problems: BTreeMap::new() };
    match std::str::from_utf8(bytes) {
        Ok(text) => parser.parse(text.trim_start_matches('\u{feff}'), arguments, config),
        Err(error) => {
            let at = error.valid_up_to();
            parser.report(at, Problem::NotUtf8(bytes.get(at).copied().unwrap_or_default()));
        }
    }
    if parser.problems.is_empty() {
        return Ok(());
    }
    let problems = parser.problems.iter().take(MAX_PROBLEMS);
    let error = |(at, problem): (&usize, &Problem)| {
        let (position, problem) = (parser.position(*at), problem.clone());
        FileError { position, problem }
    };
    Err(ConfigError::File(problems.map(error).collect()))
}

struct Parser<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    /// The problems by their byte offsets.
    problems: BTreeMap<usize, Problem>,
}

impl Parser<'_> {
    /// Adds a problem, unless there is one at the same offset.
    fn report(&mut self, at: usize, problem: Problem) {
        self.problems.entry(at).or_insert(problem);
    }

    fn report_value(&mut self, key: &str, value: &Spanned<DeValue>, allowed: &str) {
        let found = match value.get_ref() {
            // Errors are logged, and passwords are not.
            DeValue::String(_) if HASHES.contains(&key) => "another text".to_owned(),
            value => describe(value),
        };
        let key = key.to_owned();
        let allowed = allowed.to_owned();
        self.report(value.span().start, Problem::Value { key, found, allowed });
    }

    /// The position of a byte offset.
    fn position(&self, at: usize) -> FilePosition {
        let before = self.bytes.get(..at).unwrap_or(self.bytes);
        let line = 1 + memchr::memchr_iter(b'\n', before).count();
        let start = memchr::memrchr(b'\n', before).map_or(0, |end| end + 1);
        let in_line = String::from_utf8_lossy(before.get(start..).unwrap_or_default());
        FilePosition { file: self.path.to_owned(), line, column: in_line.chars().count() + 1 }
    }

    fn parse(&mut self, text: &str, arguments: &Arguments, config: &mut Config) {
        // A byte order mark is not part of the text.
        self.bytes = self.bytes.get(self.bytes.len() - text.len()..).unwrap_or_default();
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let at = error.span().map_or(text.len(), |span: Range<usize>| span.start);
            self.report(at, Problem::Syntax(one_line(error.message())));
        }
        // What follows a syntax error is probably read wrongly.
        if !self.problems.is_empty() {
            return;
        }
        let root = document.get_ref();
        let tables = ["limits", "defaults", "user", "mount"];
        self.read_table(
            root,
            "before the first table",
            &server_keys(),
            &tables,
            &mut config.server,
        );
        self.check_tls(root, config);
        if let Some(limits) = self.table(root, "limits") {
            self.read_table(limits, "in [limits]", &limit_keys(), &[], &mut config.limits);
        }
        if let Some(defaults) = self.table(root, "defaults") {
            self.read_table(defaults, "in [defaults]", &mount_keys(), &[], &mut config.defaults);
        }
        config.apply_flags(arguments);
        if let Some((_, users)) = root.get_key_value("user") {
            self.read_users(users, config);
        }
        if let Some(defaults) = self.table(root, "defaults") {
            self.check_rules(defaults, &config.users);
        }
        if let Some((_, mounts)) = root.get_key_value("mount") {
            self.read_mounts(mounts, arguments, config);
        }
    }

    /// Resolves the paths of the certificate and the key, of which neither can be alone.
    fn check_tls(&mut self, root: &DeTable, config: &mut Config) {
        let server = &mut config.server;
        for path in [&mut server.tls_certificate, &mut server.tls_key].into_iter().flatten() {
            *path = path_in_file(self.path, &*path);
            // Otherwise it would depend on the folder in which the server is started.
            *path = std::path::absolute(&*path).unwrap_or_else(|_| path.clone());
        }
        let (certificate, key) = (server.tls_certificate.is_some(), server.tls_key.is_some());
        let rows = [
            ("tls-certificate", certificate, "tls-key", key),
            ("tls-key", key, "tls-certificate", certificate),
            ("tls-listen", server.tls_listen.is_some(), "tls-certificate", certificate),
        ];
        for (name, is_set, needed, has_needed) in rows {
            if let (true, false, Some(value)) = (is_set, has_needed, root.get(name)) {
                self.report(value.span().start, Problem::Alone { key: name, needed });
            }
        }
    }

    /// A table in the root table.
    fn table<'t, 'd>(&mut self, root: &'t DeTable<'d>, name: &str) -> Option<&'t DeTable<'d>> {
        let value = root.get(name)?;
        if value.get_ref().as_table().is_none() {
            self.report_value(name, value, &format!("a table, [{name}]"));
        }
        value.get_ref().as_table()
    }

    /// Reads the keys of a table. `others` are keys that the caller reads.
    fn read_table<T>(
        &mut self,
        table: &DeTable,
        place: &'static str,
        keys: &[Key<T>],
        others: &[&'static str],
        settings: &mut T,
    ) {
        for (name, value) in table {
            let text: &str = name.get_ref();
            if let Some(key) = keys.iter().find(|key| key.name == text) {
                if !(key.read)(settings, value.get_ref()) {
                    self.report_value(key.name, value, &key.allowed);
                }
            } else if !others.contains(&text) {
                let mut names: Vec<&str> = keys.iter().map(|key| key.name).collect();
                // Paths and names of mounts come first, tables last.
                let at = if others == MOUNT_ONLY { 0 } else { names.len() };
                names.splice(at..at, others.iter().copied());
                let problem = Problem::UnknownKey {
                    found: shown(text),
                    place,
                    allowed: names.join(", "),
                    advice: advice(text, &names),
                };
                self.report(name.span().start, problem);
            }
        }
    }

    fn read_users(&mut self, users: &Spanned<DeValue>, config: &mut Config) {
        let allowed = "tables, each of which starts with [[user]]";
        let Some(tables) = users.get_ref().as_array() else {
            return self.report_value("user", users, allowed);
        };
        let mut names: BTreeMap<String, usize> = BTreeMap::new();
        for value in tables {
            let Some(table) = value.get_ref().as_table() else {
                self.report_value("user", value, allowed);
                continue;
            };
            let (mut user, start) = (User::default(), value.span().start);
            self.read_table(table, "in [[user]]", &user_keys(), &[], &mut user);
            if !table.contains_key("name") {
                self.report(
                    start,
                    Problem::IncompleteUser("a name; it must have one: name = \"NAME\""),
                );
            } else if !HASHES.iter().any(|key| table.contains_key(*key)) {
                let missing = "a password; `user add NAME` writes a [[user]] with one";
                self.report(start, Problem::IncompleteUser(missing));
            }
            let line = self.position(start).line;
            if let (Some(first), Some(value)) = (names.get(&user.name), table.get("name")) {
                let problem = Problem::SameUser { name: shown(&user.name), first: *first };
                self.report(value.span().start, problem);
            }
            names.entry(user.name.clone()).or_insert(line);
            config.users.push(user);
        }
    }

    /// Checks that the rules of a table are for users that there are: a mistyped name would lock its user
    /// out.
    fn check_rules(&mut self, table: &DeTable, users: &[User]) {
        let rules = table.get("users").and_then(|value| value.get_ref().as_array());
        for value in rules.into_iter().flatten() {
            let rule = value.get_ref().as_str().and_then(UserRule::parse);
            if let Some(rule) = rule
                && !users.iter().any(|user| rule.matches(user))
            {
                let problem = Problem::NoSuchUser(shown(&rule.to_string()));
                self.report(value.span().start, problem);
            }
        }
    }

    fn read_mounts(
        &mut self,
        mounts: &Spanned<DeValue>,
        arguments: &Arguments,
        config: &mut Config,
    ) {
        let allowed = "tables, each of which starts with [[mount]]";
        let Some(tables) = mounts.get_ref().as_array() else {
            return self.report_value("mount", mounts, allowed);
        };
        let mut names: BTreeMap<String, usize> = BTreeMap::new();
        for value in tables {
            let Some(table) = value.get_ref().as_table() else {
                self.report_value("mount", value, allowed);
                continue;
            };
            let mut settings = config.defaults.clone();
            self.read_table(table, "in [[mount]]", &mount_keys(), &MOUNT_ONLY, &mut settings);
            self.check_rules(table, &config.users);
            apply_flags_of_mounts(&mut settings, arguments);
            let position = self.position(value.span().start);
            if let Some(mount) = self.read_mount(table, value, settings, position.clone()) {
                if let (Some(name), Some(value)) = (&mount.name, table.get("name")) {
                    if let Some(first) = names.get(name) {
                        let problem = Problem::SameName { name: shown(name), first: *first };
                        self.report(value.span().start, problem);
                    }
                    names.entry(name.clone()).or_insert(position.line);
                }
                config.mounts.push(mount);
            }
        }
    }

    fn read_mount(
        &mut self,
        table: &DeTable,
        value: &Spanned<DeValue>,
        settings: MountSettings,
        position: FilePosition,
    ) -> Option<MountConfig> {
        let name = table.get("name").and_then(|value| {
            let name = value.get_ref().as_str().filter(|name| is_mount_name(name));
            if name.is_none() {
                self.report_value("name", value, MOUNT_NAME);
            }
            name.map(ToOwned::to_owned)
        });
        let Some(path) = table.get("path") else {
            self.report(value.span().start, Problem::NoPath);
            return None;
        };
        let is_path = |path: &&str| !path.is_empty() && !path.contains('\0');
        let Some(text) = path.get_ref().as_str().filter(is_path) else {
            self.report_value("path", path, "the path of a movie or of a folder of movies");
            return None;
        };
        let path = path_in_file(self.path, text);
        Some(MountConfig { path, name, settings, position: Some(position) })
    }
}

/// The keys of a `[[user]]` of which it must have one.
const HASHES: [&str; 3] = ["digest-md5", "digest-sha256", "argon2"];

/// What the name of a mount may be.
const MOUNT_NAME: &str = "a path without a slash at its ends, such as \"lecture\" or \
                          \"week1/lecture.mjpeg\"";

/// Whether a text can be the path of a URL.
fn is_mount_name(name: &str) -> bool {
    let is_segment = |segment: &str| !matches!(segment, "" | "." | "..");
    name.split('/').all(is_segment) && !name.chars().any(char::is_control)
}

/// A message of the TOML parser in one line.
fn one_line(message: &str) -> String {
    message.lines().map(str::trim).collect::<Vec<_>>().join(", ")
}

/// What was probably meant by an unknown key.
fn advice(found: &str, names: &[&str]) -> String {
    let similar = found.to_lowercase().replace('_', "-");
    let distance = |name: &&&str| strsim::damerau_levenshtein(&similar, name);
    let nearest = names.iter().min_by_key(distance);
    if let Some(name) = nearest.filter(|name| distance(name) <= 1 + name.len() / 4) {
        return format!("; perhaps {} is meant", quoted(name));
    }
    match place_of(found) {
        Some(place) => format!("; the key belongs {place}"),
        None => String::new(),
    }
}

/// The tables that have a key of this name.
fn place_of(name: &str) -> Option<&'static str> {
    fn has<T>(keys: &[Key<T>], name: &str) -> bool {
        keys.iter().any(|key| key.name == name)
    }
    if has(&server_keys(), name) {
        return Some("before the first table");
    }
    if has(&limit_keys(), name) {
        return Some("in [limits]");
    }
    if has(&mount_keys(), name) {
        return Some("in [defaults] or [[mount]]");
    }
    if MOUNT_ONLY.contains(&name) {
        return Some("in [[mount]]");
    }
    has(&user_keys(), name).then_some("in [[user]]")
}
