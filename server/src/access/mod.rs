// SPDX-License-Identifier: MIT OR Apache-2.0
//! Decides who may watch a movie.
//!
//! - `users.rs`: the users of the configuration, and the rules of a mount.
//! - `hashes.rs`: the forms in which passwords are stored.
//! - `authorization.rs`: reads the `Authorization` header.
//! - `login.rs`: checks the credentials of a connection, and writes the challenges.
//! - `nonce.rs`: the nonce of a connection.
//! - `attempts.rs`: limits the number of wrong passwords from an address.
//! - `networks.rs`: networks whose viewers are served or not.
//! - `redact.rs`: removes credentials from what is logged.
//! - `user_commands.rs`, `user_file.rs`, `password.rs`, `terminal.rs`: the commands `user add`, `user passwd`
//!   and `user remove`.

pub(crate) mod attempts;
pub(crate) mod authorization;
pub mod hashes;
pub(crate) mod login;
pub mod networks;
mod nonce;
mod password;
pub(crate) mod redact;
mod terminal;
pub mod user_commands;
mod user_file;
pub mod users;

use crate::config::{BasicAuth, Config, HostName, ServerSettings, Switch};
use crate::mount::Mount;
use crate::shared::Shared;
use networks::Network;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use users::Users;

/// The realm of all users. Digest hashes contain it, so it cannot be configured.
pub const REALM: &str = "mjpeg-rtsp";

/// The role of the users who may see and close the sessions of others.
pub const OPERATOR: &str = "operator";

/// The event for the limit log when a movie does not exist for the network of a client.
pub(crate) const HIDDEN_FROM_NETWORK: &str =
    "request refused: the movie is not for the network of the client";

/// The present rules, shared by all that obey them.
pub(crate) type SharedAccess = Shared<Access>;

/// Who may watch.
#[derive(Debug, Default)]
pub(crate) struct Access {
    /// The users who may log in.
    pub users: Users,
    /// Where passwords may be sent by Basic.
    basic: BasicAuth,
    /// Whether RTP is sent over UDP, in the clear, to clients whose RTSP is encrypted.
    pub tls_udp: bool,
    /// The names by which browsers may reach the server; any if there are none.
    pub http_hosts: Vec<HostName>,
    /// The proxies that state the addresses of viewers.
    proxies: Vec<Network>,
    /// The networks whose connections are served; all if there are none.
    allow: Vec<Network>,
    /// The networks whose connections are not served.
    deny: Vec<Network>,
    /// Unique among all rules of the process.
    generation: u64,
}

/// What a client needs in order to watch a movie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Requirement {
    /// Nothing.
    Nothing,
    /// A user and a password.
    Login,
}

impl Access {
    /// The rules of a configuration.
    pub fn new(config: &Config) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let generation = NEXT.fetch_add(1, Ordering::Relaxed);
        let users = Users::new(config.users.clone());
        let ServerSettings {
            basic_auth: basic,
            http_hosts,
            proxy_from: proxies,
            allow,
            deny,
            tls_udp,
            ..
        } = config.server.clone();
        let tls_udp = tls_udp == Switch::On;
        Self { users, basic, tls_udp, http_hosts, proxies, allow, deny, generation }
    }

    /// Whether connections from an address state the address of their viewer.
    pub fn is_proxy(&self, ip: IpAddr) -> bool {
        networks::contain(&self.proxies, ip)
    }

    /// Whether connections from an address are served.
    pub fn admits(&self, ip: IpAddr) -> bool {
        networks::permit(&self.allow, &self.deny, ip)
    }

    /// Whether Basic is accepted in a connection.
    fn accepts_basic(&self, encrypted: bool) -> bool {
        match self.basic {
            BasicAuth::On => true,
            BasicAuth::Tls => encrypted,
            BasicAuth::Off => false,
        }
    }

    /// What a request for a movie needs; `mount` is `None` if there is no such movie. While users are
    /// configured, a path that does not exist needs a login too: so a client that has not logged in cannot
    /// find out which protected movies there are.
    pub fn requirement(&self, mount: Option<&Mount>) -> Requirement {
        let is_free = mount.map_or(self.users.is_empty(), |mount| mount.settings.users.is_empty());
        if is_free { Requirement::Nothing } else { Requirement::Login }
    }

    /// Whether a movie exists for clients from an address.
    pub fn is_visible(&self, mount: &Mount, ip: IpAddr) -> bool {
        let settings = &mount.settings;
        self.admits(ip) && networks::permit(&settings.allow, &settings.deny, ip)
    }

    /// Whether a user, or a client without a login, may see and close the sessions of others: without users
    /// everybody, otherwise those with the role [`OPERATOR`].
    pub fn may_operate(&self, user: Option<&str>) -> bool {
        let user = user.and_then(|name| self.users.get(name));
        self.users.is_empty() || user.is_some_and(|user| user.role == OPERATOR)
    }

    /// Whether lab clients, which cannot log in, may watch a movie from an address.
    pub fn may_watch_in_lab(&self, mount: &Mount, ip: IpAddr) -> bool {
        self.may_watch(mount, None, ip)
    }

    /// Whether a user, or a client without a login, may watch a movie from an address.
    pub fn may_watch(&self, mount: &Mount, user: Option<&str>, ip: IpAddr) -> bool {
        if !self.is_visible(mount, ip) {
            return false;
        }
        let rules = &mount.settings.users;
        rules.is_empty() || user.is_some_and(|user| self.users.matches(user, rules))
    }
}
