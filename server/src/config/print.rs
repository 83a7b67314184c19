// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writes a configuration as a file that has the same meaning, but for paths that are not UTF-8.

use super::keys::{limit_keys, mount_keys, server_keys, user_keys};
use super::{Config, MountConfig, path_line};
use crate::access::users::User;
use mjpeg_program::log::printable;
use mjpeg_program::toml_file::{Key, quoted};
use std::fmt::{Display, Write};
use std::path::Path;

impl Config {
    /// The configuration as a file.
    pub fn to_toml(&self) -> String {
        let mut out = match &self.file {
            Some(path) => {
                format!("# From {} and the command line.\n", printable(&path.to_string_lossy()))
            }
            None => "# From the command line; there is no configuration file.\n".to_owned(),
        };
        write_keys(&mut out, &server_keys(), &self.server);
        let server = &self.server;
        let paths = [("tls-certificate", &server.tls_certificate), ("tls-key", &server.tls_key)];
        for (key, path) in paths {
            if let Some(path) = path.as_deref().filter(|path| path.to_str().is_none()) {
                let _ = writeln!(out, "{}", path_line(key, path));
            }
        }
        out += "\n[limits]\n";
        write_keys(&mut out, &limit_keys(), &self.limits);
        out += "\n[defaults]\n";
        write_keys(&mut out, &mount_keys(), &self.defaults);
        for user in &self.users {
            out += "\n";
            out += &Self::user_to_toml(user);
        }
        for MountConfig { path, name, settings, .. } in &self.mounts {
            // Otherwise the path would be relative to the folder of the file.
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            let Some(text) = path.to_str() else {
                let _ = writeln!(
                    out,
                    "\n# The path {} is not UTF-8: it can be served from the command line only.",
                    escaped(&path)
                );
                continue;
            };
            let _ = writeln!(out, "\n[[mount]]\npath = {}", quoted(text));
            if let Some(name) = name {
                let _ = writeln!(out, "name = {}", quoted(name));
            }
            write_keys(&mut out, &mount_keys(), settings);
        }
        out
    }

    /// The table of a user.
    pub fn user_to_toml(user: &User) -> String {
        let mut out = "[[user]]\n".to_owned();
        write_keys(&mut out, &user_keys(), user);
        out
    }
}

/// The bytes of a path in ASCII.
pub(super) fn escaped(path: &Path) -> impl Display {
    path.as_os_str().as_encoded_bytes().escape_ascii()
}

fn write_keys<T>(out: &mut String, keys: &[Key<T>], settings: &T) {
    for key in keys {
        let value = (key.write)(settings);
        if value.is_empty() {
            continue;
        }
        // Writing to a String does not fail.
        let _ = writeln!(out, "{} = {}", key.name, value);
    }
}
