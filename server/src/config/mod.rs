// SPDX-License-Identifier: MIT OR Apache-2.0
//! The configuration of the server. It is put together from three sources: the built-in defaults, the
//! configuration file, and the flags of the command line. Later ones win.
//!
//! - `settings.rs`: the settings and their defaults.
//! - `host.rs`: the names by which browsers reach the server.
//! - `keys.rs`, `value.rs`: the keys of the file, and how their values are read and written.
//! - `file.rs`: finds, reads and checks the file.
//! - `multicast.rs`: the settings of multicast.
//! - `print.rs`: writes a configuration as a file.
//! - `warnings.rs`: what is valid, but probably not meant.
//! - `shared.rs`: the limits, as they are now.

mod file;
mod host;
mod keys;
mod multicast;
mod print;
mod settings;
mod value;
mod warnings;

pub use file::ConfigError;
pub use host::HostName;
pub use mjpeg_program::toml_file::FilePosition;
pub use multicast::{GroupAddress, MulticastSettings, PortRange};
pub use settings::{
    BasicAuth, Fragments, LabMode, Limits, LogFormat, LogLevel, MountKind, MountSettings, Oversize,
    ServerSettings, Switch, UdpOffload,
};

use crate::access::users::User;
use crate::cli::Arguments;
use crate::shared::Shared;
use clap::CommandFactory;
use mjpeg_program::toml_file::{Key, quoted};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// The present limits, shared by all that obey them.
pub type SharedLimits = Shared<Limits>;

/// A movie, or a folder of movies, that is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountConfig {
    /// The path of the file or folder.
    pub path: PathBuf,
    /// The mount point of the file, or the folder of the mount points of a folder's movies, without a
    /// slash at its ends. `None` for that of the path.
    pub name: Option<String>,
    /// How the movies are played.
    pub settings: MountSettings,
    /// The position of the table in the configuration file; `None` for an argument.
    pub position: Option<FilePosition>,
}

/// What the server serves, where and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// The configuration file; `None` if there is none.
    pub file: Option<PathBuf>,
    /// The settings of the whole server.
    pub server: ServerSettings,
    /// The limits.
    pub limits: Limits,
    /// The users who may log in.
    pub users: Vec<User>,
    /// How movies are played for which the configuration states nothing else.
    pub defaults: MountSettings,
    /// What is served; nothing for the test card.
    pub mounts: Vec<MountConfig>,
}

impl Config {
    /// Puts the configuration together. Exits the process with code 2 if the value of a flag is not
    /// valid.
    ///
    /// # Errors
    /// If the configuration file cannot be read, or something in it is not valid.
    pub fn resolve(arguments: &Arguments) -> Result<Self, ConfigError> {
        let file = match &arguments.config {
            Some(path) => Some(path.clone()).filter(|path| path != Path::new(NO_FILE)),
            None => file::default_path(),
        };
        Self::resolve_with(arguments, file.as_deref())
    }

    /// Puts the configuration together again: from the file of the present one, and the same flags.
    ///
    /// # Errors
    /// If the file cannot be read any more, or something in it is not valid.
    pub fn resolve_again(&self, arguments: &Arguments) -> Result<Self, ConfigError> {
        Self::resolve_with(arguments, self.file.as_deref())
    }

    fn resolve_with(arguments: &Arguments, file: Option<&Path>) -> Result<Self, ConfigError> {
        let mut config = Self { file: file.map(Path::to_owned), ..Self::default() };
        let text = file.map(file::read).transpose()?;
        match (file, &text) {
            (Some(path), Some(text)) => file::parse(path, text, arguments, &mut config)?,
            _ => config.apply_flags(arguments),
        }
        if !arguments.paths.is_empty() {
            let mount = |path: &PathBuf| config.mount(path.clone());
            config.mounts = arguments.paths.iter().map(mount).collect();
        }
        Ok(config)
    }

    /// The configuration file that is read if the command line names none; `None` if there is none.
    pub fn default_file() -> Option<PathBuf> {
        file::default_path()
    }

    /// Reads the bytes of a configuration file.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read_file(path: &Path) -> Result<Vec<u8>, ConfigError> {
        file::read(path)
    }

    /// The configuration of a file with these bytes, and no flags.
    ///
    /// # Errors
    /// If something in them is not valid.
    pub fn parse_file(path: &Path, bytes: &[u8]) -> Result<Self, ConfigError> {
        let mut config = Self { file: Some(path.to_owned()), ..Self::default() };
        file::parse(path, bytes, &Arguments::default(), &mut config)?;
        Ok(config)
    }

    /// The names of the keys before all tables whose values differ, without those that a reload applies.
    pub fn keys_for_next_start(&self, new: &Self) -> Vec<&'static str> {
        let differs =
            |key: &Key<ServerSettings>| (key.write)(&self.server) != (key.write)(&new.server);
        let keys = keys::server_keys().into_iter().filter(differs).map(|key| key.name);
        keys.filter(|name| !RELOADED.contains(name)).collect()
    }

    /// The paths that are folders of movies.
    pub fn folders(&self) -> Vec<PathBuf> {
        let paths = self.mounts.iter().map(|mount| mount.path.clone());
        paths.filter(|path| path.is_dir()).collect()
    }

    /// A mount with the default settings.
    fn mount(&self, path: PathBuf) -> MountConfig {
        MountConfig { path, name: None, settings: self.defaults.clone(), position: None }
    }

    /// Sets what the flags state, for the server and for movies by default.
    fn apply_flags(&mut self, arguments: &Arguments) {
        let Self { server, limits, defaults, .. } = self;
        if let Some(listen) = &arguments.listen {
            server.listen = parse_listen(listen).unwrap_or_else(|| {
                usage(&format!("invalid value '{listen}' for --listen: it must be {LISTEN}"))
            });
        }
        let count = |number: Option<u32>| number.map(|number| number as usize);
        if let Some(http) = &arguments.http {
            server.http = Some(parse_http(http).unwrap_or_else(|| {
                usage(&format!("invalid value '{http}' for --http: it must be {LISTEN}"))
            }));
        }
        set(&mut server.lab, arguments.lab);
        set(&mut server.http_tunnel, arguments.http_tunnel);
        set(&mut server.prepare_cache, arguments.prepare_cache);
        set(&mut server.explain, arguments.explain.then_some(true));
        set(&mut server.log, arguments.log);
        set(&mut server.log_format, arguments.log_format);
        set(&mut limits.max_connections, count(arguments.max_connections));
        set(&mut limits.max_connections_per_address, count(arguments.max_connections_per_address));
        apply_flags_of_mounts(defaults, arguments);
    }
}

/// The path that stands for no configuration file.
const NO_FILE: &str = "/dev/null";

/// The keys before all tables whose values a reload applies.
const RELOADED: [&str; 9] = [
    "grace",
    "tls-certificate",
    "tls-key",
    "tls-udp",
    "http-hosts",
    "proxy-from",
    "allow",
    "deny",
    "basic-auth",
];

/// What a listening address may be.
const LISTEN: &str = "[ADDR:]PORT, such as 8554, 127.0.0.1:8554 or [::1]:8554";

/// Sets what the flags state for all movies. They win over the tables of single mounts too.
fn apply_flags_of_mounts(settings: &mut MountSettings, arguments: &Arguments) {
    set(&mut settings.kind, arguments.live.then_some(MountKind::Live));
    set(&mut settings.framerate, arguments.framerate);
    set(&mut settings.looping, arguments.looping.then_some(true));
    set(&mut settings.udp_offload, arguments.udp_offload);
    set(&mut settings.lab_oversize, arguments.lab_oversize);
    set(&mut settings.lab_fragment, arguments.lab_fragment);
}

/// Replaces a setting, if there is a value.
fn set<T>(setting: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *setting = value;
    }
}

fn usage(message: &str) -> ! {
    Arguments::command().error(clap::error::ErrorKind::ValueValidation, message).exit()
}

/// Reads an address to listen on: a port, or an address and a port.
fn parse_listen(text: &str) -> Option<SocketAddr> {
    parse_address(text, Ipv4Addr::UNSPECIFIED)
}

/// Reads the address for HTTP: as [`parse_listen`], but a port alone is one of this machine only.
fn parse_http(text: &str) -> Option<SocketAddr> {
    parse_address(text, Ipv4Addr::LOCALHOST)
}

/// Reads an address and a port, or only a port, which is then one of `default`.
fn parse_address(text: &str, default: Ipv4Addr) -> Option<SocketAddr> {
    let default = IpAddr::V4(default);
    text.parse().ok().or_else(|| Some(SocketAddr::new(default, text.parse().ok()?)))
}

/// The line of a key whose value is a path; a comment if the path is not UTF-8, which no file can have.
pub(crate) fn path_line(key: &str, path: &Path) -> String {
    path.to_str().map_or_else(
        || format!("# {key}: the path {} is not UTF-8.", print::escaped(path)),
        |text| format!("{key} = {}", quoted(text)),
    )
}

/// A path of the configuration file, which is relative to the file's folder.
fn path_in_file(file: &Path, path: impl AsRef<Path>) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(path)
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
