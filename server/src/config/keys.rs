// SPDX-License-Identifier: MIT OR Apache-2.0
//! The keys of the configuration file, table by table. Parsing, printing, errors and the test of the
//! shipped file all use these lists, so that a key is named once.

use super::host::HostName;
use super::multicast::{GroupAddress, MulticastSettings, PortRange};
use super::settings::{Limits, MountSettings, ServerSettings};
use super::value::{FRAME_RATE, read_frame_rate, read_list, write_frame_rate, write_list};
use super::{parse_http, parse_listen};
use crate::access::hashes::{Argon2Hash, DigestHash};
use crate::access::networks::Network;
use crate::access::users::{User, UserRule, is_name};
use mjpeg_program::toml_file::{DeValue, Key, boolean, choice, duration, key, number, quoted};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A key whose value is the path of a file, or an empty text for none.
fn path<T: Clone + 'static>(
    name: &'static str,
    field: fn(&mut T) -> &mut Option<PathBuf>,
) -> Key<T> {
    let read = |value: &DeValue| {
        let text = value.as_str().filter(|text| !text.contains('\0'))?;
        Some(Some(PathBuf::from(text)).filter(|path| !path.as_os_str().is_empty()))
    };
    // A path that is not UTF-8 is written as nothing.
    let write = |path: &Option<PathBuf>| {
        path.as_deref().unwrap_or(Path::new("")).to_str().map_or_else(String::new, quoted)
    };
    key(name, "the path of a file in PEM format, or \"\"".to_owned(), field, read, write)
}

/// A key whose value is a port, or an address and a port, or an empty text for none.
fn port<T: Clone + 'static>(
    name: &'static str,
    field: fn(&mut T) -> &mut Option<SocketAddr>,
    parse: fn(&str) -> Option<SocketAddr>,
) -> Key<T> {
    let read = move |value: &DeValue| match value {
        DeValue::String(text) if text.is_empty() => Some(None),
        DeValue::String(text) => Some(Some(parse(text)?)),
        DeValue::Integer(port) => Some(Some(parse(port.as_str())?)),
        _ => None,
    };
    let write =
        |listen: &Option<SocketAddr>| quoted(&listen.map_or_else(String::new, |it| it.to_string()));
    key(name, "a port, an address and a port, or \"\"".to_owned(), field, read, write)
}

/// A key whose value is a list of networks.
fn networks<T: Clone + 'static>(
    name: &'static str,
    field: fn(&mut T) -> &mut Vec<Network>,
) -> Key<T> {
    let read = |value: &DeValue| read_list(value, Network::parse);
    key(name, Network::ALLOWED.to_owned(), field, read, |networks| write_list(networks))
}

/// The keys before all tables.
pub(super) fn server_keys() -> Vec<Key<ServerSettings>> {
    type S = ServerSettings;
    let listen = key(
        "listen",
        "a port, or an address and a port, such as 8554, \"127.0.0.1:8554\" or \"[::1]:8554\""
            .to_owned(),
        |it: &mut S| &mut it.listen,
        |value| match value {
            DeValue::String(text) => parse_listen(text),
            DeValue::Integer(port) => parse_listen(port.as_str()),
            _ => None,
        },
        |listen| quoted(&listen.to_string()),
    );
    let hosts = key(
        "http-hosts",
        HostName::ALLOWED.to_owned(),
        |it: &mut S| &mut it.http_hosts,
        |value| read_list(value, HostName::parse),
        |hosts| write_list(hosts),
    );
    vec![
        listen,
        choice("lab", |it: &mut S| &mut it.lab),
        choice("http-tunnel", |it: &mut S| &mut it.http_tunnel),
        path("tls-certificate", |it: &mut S| &mut it.tls_certificate),
        path("tls-key", |it: &mut S| &mut it.tls_key),
        port("tls-listen", |it: &mut S| &mut it.tls_listen, parse_listen),
        choice("tls-udp", |it: &mut S| &mut it.tls_udp),
        port("http", |it: &mut S| &mut it.http, parse_http),
        hosts,
        networks("proxy-from", |it: &mut S| &mut it.proxy_from),
        networks("allow", |it: &mut S| &mut it.allow),
        networks("deny", |it: &mut S| &mut it.deny),
        choice("basic-auth", |it: &mut S| &mut it.basic_auth),
        number("prepare-cache", 0..=u64::from(u32::MAX), |it: &mut S| &mut it.prepare_cache),
        boolean("explain", |it: &mut S| &mut it.explain),
        choice("log", |it: &mut S| &mut it.log),
        choice("log-format", |it: &mut S| &mut it.log_format),
        duration("grace", Duration::ZERO..=Duration::from_hours(1), |it: &mut S| &mut it.grace),
    ]
}

/// The largest number of connections, viewers or sessions that may be configured.
const MAX_COUNT: u64 = u32::MAX as u64;

/// The range of time limits.
const TIMES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(1);

/// The keys of the table `[limits]`.
pub(super) fn limit_keys() -> Vec<Key<Limits>> {
    type L = Limits;
    vec![
        number("max-connections", 1..=MAX_COUNT, |it: &mut L| &mut it.max_connections),
        number("max-connections-per-address", 1..=MAX_COUNT, |it: &mut L| {
            &mut it.max_connections_per_address
        }),
        number("max-sessions", 1..=MAX_COUNT, |it: &mut L| &mut it.max_sessions),
        number("max-viewers", 1..=MAX_COUNT, |it: &mut L| &mut it.max_viewers),
        number("max-viewers-per-address", 1..=MAX_COUNT, |it: &mut L| {
            &mut it.max_viewers_per_address
        }),
        number("max-request-bytes", 1024..=1024 * 1024, |it: &mut L| &mut it.max_request_bytes),
        duration("request-time", TIMES, |it: &mut L| &mut it.request_time),
        duration("idle-time", TIMES, |it: &mut L| &mut it.idle_time),
        duration("stall-time", TIMES, |it: &mut L| &mut it.stall_time),
        number("max-queued-bytes", 65_536..=1 << 30, |it: &mut L| &mut it.max_queued_bytes),
    ]
}

/// The keys of the table `[defaults]`, which each `[[mount]]` may have too.
pub(super) fn mount_keys() -> Vec<Key<MountSettings>> {
    type M = MountSettings;
    let framerate = key(
        "framerate",
        FRAME_RATE.to_owned(),
        |it: &mut M| &mut it.framerate,
        read_frame_rate,
        |rate| write_frame_rate(*rate),
    );
    let users = key(
        "users",
        "a list of names of users, of \"@ROLE\" for all with a role, or [\"*\"] for all users"
            .to_owned(),
        |it: &mut M| &mut it.users,
        |value| read_list(value, UserRule::parse),
        |users| write_list(users),
    );
    vec![
        choice("kind", |it: &mut M| &mut it.kind),
        framerate,
        boolean("loop", |it: &mut M| &mut it.looping),
        boolean("follow-links", |it: &mut M| &mut it.follow_links),
        number("max-viewers", 1..=MAX_COUNT, |it: &mut M| &mut it.max_viewers),
        networks("allow", |it: &mut M| &mut it.allow),
        networks("deny", |it: &mut M| &mut it.deny),
        users,
        key(
            "multicast",
            MulticastSettings::GROUPS.to_owned(),
            |it: &mut M| &mut it.multicast.groups,
            |value| {
                read_list(value, GroupAddress::parse).filter(|it| MulticastSettings::are_groups(it))
            },
            |groups| write_list(groups),
        ),
        key(
            "multicast-ports",
            PortRange::ALLOWED.to_owned(),
            |it: &mut M| &mut it.multicast.ports,
            |value| PortRange::parse(value.as_str()?),
            |ports| quoted(&ports.to_string()),
        ),
        number("multicast-ttl", 1..=255, |it: &mut M| &mut it.multicast.ttl),
        key(
            "multicast-interface",
            MulticastSettings::INTERFACE.to_owned(),
            |it: &mut M| &mut it.multicast.interface,
            |value| {
                let name = value.as_str().filter(|it| MulticastSettings::is_interface(it));
                name.map(ToOwned::to_owned)
            },
            |name| quoted(name),
        ),
        boolean("multicast-only", |it: &mut M| &mut it.multicast.only),
        choice("udp-offload", |it: &mut M| &mut it.udp_offload),
        choice("lab-oversize", |it: &mut M| &mut it.lab_oversize),
        choice("lab-fragment", |it: &mut M| &mut it.lab_fragment),
    ]
}

/// The keys that only a `[[mount]]` has.
pub(super) const MOUNT_ONLY: [&str; 2] = ["path", "name"];

/// What the name of a user or a role may be.
const NAME: &str =
    "1 to 64 bytes without : \" \\ and control characters, not * and not with @ at the start";

/// The key of a user's hash, which a user may have or not.
fn hash<const N: usize>(
    name: &'static str,
    field: fn(&mut User) -> &mut Option<DigestHash<N>>,
) -> Key<User> {
    let read = |value: &DeValue| Some(Some(DigestHash::parse(value.as_str()?)?));
    let write = |hash: &Option<DigestHash<N>>| match hash {
        Some(hash) => quoted(&hash.to_hex()),
        None => String::new(),
    };
    Key {
        is_secret: true,
        ..key(name, format!("{} hexadecimal digits", 2 * N), field, read, write)
    }
}

/// The keys of a `[[user]]`. The value of one that the user does not have is written as nothing.
pub(super) fn user_keys() -> Vec<Key<User>> {
    let name = |value: &DeValue| value.as_str().filter(|text| is_name(text)).map(ToOwned::to_owned);
    let write = |text: &String| quoted(text);
    let argon2 = key(
        "argon2",
        Argon2Hash::ALLOWED.to_owned(),
        |it: &mut User| &mut it.argon2,
        |value| Some(Some(Argon2Hash::parse(value.as_str()?)?)),
        |hash| hash.as_ref().map_or_else(String::new, |hash| quoted(hash.as_str())),
    );
    vec![
        key("name", NAME.to_owned(), |it: &mut User| &mut it.name, name, write),
        key("role", NAME.to_owned(), |it: &mut User| &mut it.role, name, write),
        hash("digest-md5", |it: &mut User| &mut it.digest_md5),
        hash("digest-sha256", |it: &mut User| &mut it.digest_sha256),
        Key { is_secret: true, ..argon2 },
    ]
}

/// The keys of a `[[user]]` of which it must have one.
pub(super) const HASHES: [&str; 3] = ["digest-md5", "digest-sha256", "argon2"];
