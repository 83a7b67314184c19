// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is valid in a configuration, but probably not meant.

use super::{BasicAuth, Config, MountKind, MountSettings};
use crate::access::users::User;
use mjpeg_program::log::printable;

impl Config {
    /// Logs what is probably not meant.
    pub(crate) fn log_warnings(&self) {
        for warning in self.warnings() {
            tracing::warn!("{warning}");
        }
    }

    /// What is probably not meant, each as a line for the log.
    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let mounts = self.mounts.iter().map(|mount| {
            let name = printable(&mount.path.to_string_lossy());
            let position = mount.position.as_ref().map(|position| format!("{position}: "));
            (format!("{}{name}", position.unwrap_or_default()), &mount.settings)
        });
        let card = self.mounts.is_empty().then(|| ("the test card".to_owned(), &self.defaults));
        for (name, settings) in mounts.chain(card) {
            if let Some(who) = self.cannot_log_in(settings) {
                warnings.push(format!("{name}: {who}"));
            }
            let groups = &settings.multicast.groups;
            let is_limited = !settings.users.is_empty()
                || !settings.allow.is_empty()
                || !settings.deny.is_empty();
            if settings.kind == MountKind::Live && !groups.is_empty() && is_limited {
                let groups: Vec<String> = groups.iter().map(ToString::to_string).collect();
                warnings.push(format!(
                    "{name}: users, allow and deny do not protect what is sent to {}: the network decides \
                     who can join a multicast group",
                    groups.join(" and ")
                ));
            }
        }
        warnings
    }

    /// The reason if no user of a mount can log in without TLS: their passwords are stored for Basic only,
    /// which is not allowed there.
    fn cannot_log_in(&self, settings: &MountSettings) -> Option<String> {
        let is_for = |user: &&User| settings.users.iter().any(|rule| rule.matches(user));
        let users: Vec<&User> = self.users.iter().filter(is_for).collect();
        let has_digest = |user: &&User| user.digest_md5.is_some() || user.digest_sha256.is_some();
        if users.is_empty() || users.iter().any(has_digest) {
            return None;
        }
        let basic = self.server.basic_auth;
        let limit = match basic {
            BasicAuth::On => return None,
            BasicAuth::Tls if self.server.tls_certificate.is_some() => "by rtsps:// only",
            BasicAuth::Tls | BasicAuth::Off => "not at all",
        };
        let key = if basic == BasicAuth::Off { "off" } else { "tls" };
        Some(format!(
            "its users can log in {limit}: all their passwords are stored with argon2, which needs Basic, \
             and basic-auth is \"{key}\""
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{FILE, parse};

    #[test]
    fn what_is_probably_not_meant_is_named() {
        let user = |name: &str, hash: &str| format!("[[user]]\nname = '{name}'\n{hash}\n");
        let argon2 = "argon2 = '$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'";
        let digest = "digest-md5 = '00112233445566778899aabbccddeeff'";
        let users = user("ana", argon2) + &user("bob", digest);
        let mount = "[[mount]]\npath = '/m'\n";
        let tls = "tls-certificate = '/c'\ntls-key = '/k'\n";
        let argon = |limit: &str, key: &str| {
            format!(
                "its users can log in {limit}: all their passwords are stored with argon2, which needs \
                 Basic, and basic-auth is \"{key}\""
            )
        };
        let group = "multicast = ['239.1.1.1', 'ff15::1']\n";
        let unprotected =
            "users, allow and deny do not protect what is sent to 239.1.1.1 and ff15::1: the \
                           network decides who can join a multicast group"
                .to_owned();
        let rows = [
            (format!("{users}{mount}users = ['ana']"), Some(("7", argon("not at all", "tls")))),
            (
                format!("{tls}{users}{mount}users = ['ana']"),
                Some(("9", argon("by rtsps:// only", "tls"))),
            ),
            (
                format!("basic-auth = 'off'\n{tls}{users}{mount}users = ['ana']"),
                Some(("10", argon("not at all", "off"))),
            ),
            (format!("basic-auth = 'on'\n{users}{mount}users = ['ana']"), None),
            (format!("{users}{mount}users = ['*']"), None),
            (format!("{users}{mount}"), None),
            (format!("{mount}kind = 'live'\n{group}"), None),
            (format!("{mount}{group}allow = ['10.0.0.0/8']"), None),
            (
                format!("{mount}kind = 'live'\n{group}allow = ['10.0.0.0/8']"),
                Some(("1", unprotected.clone())),
            ),
            (
                format!("{users}{mount}kind = 'live'\n{group}users = ['bob']"),
                Some(("7", unprotected)),
            ),
        ];
        for (text, want) in rows {
            let want = want.map(|(line, warning)| format!("{FILE}:{line}:1: /m: {warning}"));
            let got = parse(text.as_bytes(), &[]).unwrap().warnings();
            assert_eq!(got, want.into_iter().collect::<Vec<_>>(), "{text}");
        }
        // Without a mount it is about the test card.
        let text = format!("[defaults]\nusers = ['ana']\n{}", user("ana", argon2));
        let want = format!("the test card: {}", argon("not at all", "tls"));
        assert_eq!(parse(text.as_bytes(), &[]).unwrap().warnings(), [want]);
    }
}
