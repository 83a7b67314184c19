// SPDX-License-Identifier: MIT OR Apache-2.0
//! Finds, reads and checks the configuration file.

use super::keys::{HASHES, MOUNT_ONLY, limit_keys, mount_keys, server_keys, user_keys};
use super::settings::MountSettings;
use super::{Config, MountConfig, apply_flags_of_mounts, path_in_file};
use crate::access::users::{User, UserRule};
use crate::cli::Arguments;
use mjpeg_program::toml_file::{
    self, DeTable, DeValue, FileError, FilePosition, FileProblem, Key, Problems, ReadError,
    Spanned, TableKeys, shown,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The configuration file that is read if the command line names none: the first one that exists.
pub(super) fn default_path() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from).filter(|it| it.is_absolute());
    let home = || variable("HOME").map(|home| home.join(".config"));
    let of_user = variable("XDG_CONFIG_HOME").or_else(home);
    let folders = of_user.into_iter().chain([PathBuf::from("/etc")]);
    let mut paths = folders.map(|folder| folder.join("mjpeg-rtsp").join("server.toml"));
    paths.find(|path| path.symlink_metadata().is_ok())
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Something in the file is not valid. One line for each problem, in the order of the file.
    #[error("{}", lines(.0))]
    File(Vec<FileError>),
}

fn lines(errors: &[FileError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Reads the bytes of the file. Waits for no other process: a FIFO is refused.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, ConfigError> {
    Ok(toml_file::read(path, "the configuration")?)
}

/// Reads a configuration from the bytes of a file. The flags of the command line win.
pub(super) fn parse(
    path: &Path,
    bytes: &[u8],
    arguments: &Arguments,
    config: &mut Config,
) -> Result<(), ConfigError> {
    let read = |problems: &mut Problems, root: &DeTable| {
        Reader { path, problems, arguments, config }.read(root);
    };
    toml_file::parse(path, bytes, read).map_err(ConfigError::File)
}

/// Reads the tables of a file into a configuration.
struct Reader<'a, 'f> {
    path: &'a Path,
    problems: &'a mut Problems<'f>,
    arguments: &'a Arguments,
    config: &'a mut Config,
}

impl Reader<'_, '_> {
    fn read(&mut self, root: &DeTable) {
        let tables = ["limits", "defaults", "user", "mount"];
        let place = "before the first table";
        read_table(
            self.problems,
            root,
            place,
            (&[], &tables),
            &server_keys(),
            &mut self.config.server,
        );
        self.check_tls(root);
        if let Some(table) = self.problems.table(root, "limits") {
            let limits = &mut self.config.limits;
            read_table(self.problems, table, "in [limits]", (&[], &[]), &limit_keys(), limits);
        }
        let defaults = self.problems.table(root, "defaults");
        if let Some(table) = defaults {
            let defaults = &mut self.config.defaults;
            read_table(self.problems, table, "in [defaults]", (&[], &[]), &mount_keys(), defaults);
        }
        self.config.apply_flags(self.arguments);
        if let Some(users) = root.get("user") {
            self.read_users(users);
        }
        if let Some(table) = defaults {
            self.check_rules(table);
        }
        if let Some(mounts) = root.get("mount") {
            self.read_mounts(mounts);
        }
    }

    /// Resolves the paths of the certificate and the key, of which neither can be alone.
    fn check_tls(&mut self, root: &DeTable) {
        let server = &mut self.config.server;
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
                self.report(
                    value,
                    format!("{name}: found a value, but {needed} has none; one needs the other"),
                );
            }
        }
    }

    /// Adds a problem of a value.
    fn report(&mut self, value: &Spanned<DeValue>, problem: impl Into<String>) {
        self.problems.report(value.span().start, FileProblem::Other(problem.into()));
    }

    fn read_users(&mut self, users: &Spanned<DeValue>) {
        let allowed = "tables, each of which starts with [[user]]";
        let Some(tables) = users.get_ref().as_array() else {
            return self.problems.report_value("user", users, allowed);
        };
        let mut names: BTreeMap<String, usize> = BTreeMap::new();
        for value in tables {
            let Some(table) = value.get_ref().as_table() else {
                self.problems.report_value("user", value, allowed);
                continue;
            };
            let mut user = User::default();
            read_table(self.problems, table, "in [[user]]", (&[], &[]), &user_keys(), &mut user);
            if !table.contains_key("name") {
                let missing = "a name; it must have one: name = \"NAME\"";
                self.report(value, format!("found a [[user]] without {missing}"));
            } else if !HASHES.iter().any(|key| table.contains_key(*key)) {
                let missing = "a password; `user add NAME` writes a [[user]] with one";
                self.report(value, format!("found a [[user]] without {missing}"));
            }
            let line = self.problems.position(value.span().start).line;
            if let (Some(first), Some(value)) = (names.get(&user.name), table.get("name")) {
                let name = shown(&user.name);
                self.report(
                    value,
                    format!("name: found \"{name}\", which is the name of the [[user]] in line {first} too"),
                );
            }
            names.entry(user.name.clone()).or_insert(line);
            self.config.users.push(user);
        }
    }

    /// Checks that the rules of a table are for users that there are: a mistyped name would lock its user
    /// out.
    fn check_rules(&mut self, table: &DeTable) {
        let rules = table.get("users").and_then(|value| value.get_ref().as_array());
        for value in rules.into_iter().flatten() {
            let rule = value.get_ref().as_str().and_then(UserRule::parse);
            if let Some(rule) = rule
                && !self.config.users.iter().any(|user| rule.matches(user))
            {
                let rule = shown(&rule.to_string());
                self.report(
                    value,
                    format!("users: found \"{rule}\", but there is no such [[user]]; `user add` adds one"),
                );
            }
        }
    }

    fn read_mounts(&mut self, mounts: &Spanned<DeValue>) {
        let allowed = "tables, each of which starts with [[mount]]";
        let Some(tables) = mounts.get_ref().as_array() else {
            return self.problems.report_value("mount", mounts, allowed);
        };
        let mut names: BTreeMap<String, usize> = BTreeMap::new();
        for value in tables {
            let Some(table) = value.get_ref().as_table() else {
                self.problems.report_value("mount", value, allowed);
                continue;
            };
            let mut settings = self.config.defaults.clone();
            let others: Others = (&MOUNT_ONLY, &[]);
            read_table(self.problems, table, "in [[mount]]", others, &mount_keys(), &mut settings);
            self.check_rules(table);
            apply_flags_of_mounts(&mut settings, self.arguments);
            let position = self.problems.position(value.span().start);
            if let Some(mount) = self.read_mount(table, value, settings, position.clone()) {
                if let (Some(name), Some(value)) = (&mount.name, table.get("name")) {
                    if let Some(first) = names.get(name) {
                        let name = shown(name);
                        self.report(
                            value,
                            format!(
                                "name: found \"{name}\", which is the name of the [[mount]] in line {first} \
                                 too; each must have a name of its own"
                            ),
                        );
                    }
                    names.entry(name.clone()).or_insert(position.line);
                }
                self.config.mounts.push(mount);
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
                self.problems.report_value("name", value, MOUNT_NAME);
            }
            name.map(ToOwned::to_owned)
        });
        let Some(path) = table.get("path") else {
            let problem =
                "found a [[mount]] without a path; it must have one: path = \"FILE OR FOLDER\"";
            self.report(value, problem);
            return None;
        };
        let is_path = |path: &&str| !path.is_empty() && !path.contains('\0');
        let Some(text) = path.get_ref().as_str().filter(is_path) else {
            self.problems.report_value(
                "path",
                path,
                "the path of a movie or of a folder of movies",
            );
            return None;
        };
        let path = path_in_file(self.path, text);
        Some(MountConfig { path, name, settings, position: Some(position) })
    }
}

/// Keys that the caller reads: those that errors name first, and those that they name last.
type Others<'a> = (&'a [&'static str], &'a [&'static str]);

/// Reads the keys of a table.
fn read_table<T>(
    problems: &mut Problems,
    table: &DeTable,
    place: &'static str,
    (first, last): Others,
    keys: &[Key<T>],
    settings: &mut T,
) {
    let keys = TableKeys { place, keys, first, last, elsewhere: &place_of };
    problems.read_table(table, &keys, settings);
}

/// What the name of a mount may be.
const MOUNT_NAME: &str = "a path without a slash at its ends, such as \"lecture\" or \
                          \"week1/lecture.mjpeg\"";

/// Whether a text can be the path of a URL.
fn is_mount_name(name: &str) -> bool {
    let is_segment = |segment: &str| !matches!(segment, "" | "." | "..");
    name.split('/').all(is_segment) && !name.chars().any(char::is_control)
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
