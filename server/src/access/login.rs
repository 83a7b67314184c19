// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks the credentials of a connection's requests. The work is the same for names that exist and for
//! others, so its time reveals none.

use super::authorization::{Algorithm, Credentials, Digest, Unreadable};
use super::hashes::{Argon2Hash, DigestHash, hash, hex, md5_hash, sha256_hash};
use super::nonce::Nonce;
use super::users::User;
use super::{Access, REALM};
use crate::connection::limits::Origin;
use md5::Md5;
use sha2::{Digest as _, Sha256};
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use subtle::ConstantTimeEq;

/// The number of wrong passwords after which a connection is closed.
pub(crate) const MAX_WRONG: u32 = 5;

/// What the requests of a connection have proved.
#[derive(Debug, Default)]
pub(crate) struct Login {
    nonce: Nonce,
    /// The number of wrong passwords.
    wrong: u32,
    /// The header with which a user last logged in by Basic, hashed, and the rules that held then: players
    /// repeat it in each request.
    basic: Option<(u64, [u8; 32], Arc<User>)>,
}

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The user has logged in.
    Right(Arc<User>),
    /// The client must log in, or log in again: 401 with [`Login::challenges`].
    Stale,
    /// The name or the password is wrong: 401 too.
    Wrong,
    /// The header is not valid, or the hash is for another URI: 400.
    Malformed,
}

/// The part of a request that credentials are checked against.
pub(crate) struct Proof<'a> {
    /// The name of the method.
    pub method: &'a str,
    /// The value of the `Authorization` header.
    pub header: &'a str,
    /// Whether a URI leads to the same movie as that of the request. Some players, such as VLC, hash the
    /// URL of the movie in each request.
    pub is_same_uri: &'a dyn Fn(&str) -> bool,
    /// The connection is encrypted.
    pub encrypted: bool,
}

/// The first step of a check, which takes microseconds.
pub(crate) enum FirstStep {
    /// The result.
    Done(Verdict),
    /// The result needs [`SlowStep::run`], on a thread that may wait.
    Slow(SlowStep),
}

/// The check of a password against a hash of argon2.
pub(crate) struct SlowStep {
    user: Option<Arc<User>>,
    /// Whether a digest hash of the user is that of the password.
    matches_digest: bool,
    password: Vec<u8>,
    key: (u64, [u8; 32]),
}

impl SlowStep {
    /// Checks the password. Returns the user, if it is right, for [`Login::finish`].
    pub fn run(&self) -> bool {
        static NOBODY: OnceLock<Argon2Hash> = OnceLock::new();
        let nobody = NOBODY.get_or_init(Argon2Hash::of_nobody);
        let hash = self.user.as_ref().and_then(|user| user.argon2.as_ref()).unwrap_or(nobody);
        let matches = hash.is_of(&self.password);
        self.user.is_some() && (matches || self.matches_digest)
    }
}

impl Login {
    /// The login of an HTTP client, whose connections accept the nonces of each other.
    pub fn of_address(origin: Origin) -> Self {
        Self { nonce: Nonce::ByAddress(origin), ..Self::default() }
    }

    /// The values of the `WWW-Authenticate` headers of a 401. The order is that of preference, except that
    /// MD5 is the last digest: ffmpeg, VLC and rtspsrc read the last one and know nothing else. VLC needs
    /// this order of parameters.
    pub fn challenges(&mut self, access: &Access, stale: bool, encrypted: bool) -> Vec<String> {
        let schemes = access.users.schemes();
        let nonce = self.nonce.issue(Instant::now());
        let stale = if stale { ", stale=true" } else { "" };
        let digest = |algorithm: Algorithm| {
            let name = algorithm.name();
            format!(
                "Digest realm=\"{REALM}\", nonce=\"{nonce}\"{stale}, algorithm={name}, qop=\"auth\""
            )
        };
        let mut challenges = Vec::new();
        challenges.extend(schemes.sha256.then(|| digest(Algorithm::Sha256)));
        challenges.extend(schemes.md5.then(|| digest(Algorithm::Md5)));
        if access.accepts_basic(encrypted) || challenges.is_empty() {
            challenges.push(format!("Basic realm=\"{REALM}\""));
        }
        challenges
    }

    /// Counts a wrong password. Returns whether the connection must be closed.
    pub fn count_wrong(&mut self) -> bool {
        self.wrong += 1;
        self.wrong >= MAX_WRONG
    }

    /// The user for whom the same Basic credentials have been checked before.
    pub fn known(&self, access: &Access, header: &str) -> Option<Arc<User>> {
        let (generation, key) = key_of(access, header);
        let (of, known, user) = self.basic.as_ref()?;
        (*of == generation && bool::from(known.ct_eq(&key))).then(|| user.clone())
    }

    /// Checks credentials.
    pub fn check(&mut self, access: &Access, proof: &Proof, now: Instant) -> FirstStep {
        let verdict = match Credentials::parse(proof.header) {
            Ok(Credentials::Digest(digest)) => self.check_digest(access, proof, &digest, now),
            Ok(Credentials::Basic { .. }) if !access.accepts_basic(proof.encrypted) => {
                Verdict::Wrong
            }
            Ok(Credentials::Basic { name, password }) => {
                let key = key_of(access, proof.header);
                let step = start_basic(access, &name, password, key);
                if access.users.schemes().argon2 {
                    return FirstStep::Slow(step);
                }
                let right = step.matches_digest;
                self.finish(step, right)
            }
            Err(Unreadable::Unsupported) => Verdict::Wrong,
            Err(Unreadable::Malformed) => Verdict::Malformed,
        };
        FirstStep::Done(verdict)
    }

    /// The verdict on a password by Basic.
    pub fn finish(&mut self, step: SlowStep, right: bool) -> Verdict {
        match step.user.filter(|_| right) {
            Some(user) => {
                self.basic = Some((step.key.0, step.key.1, user.clone()));
                Verdict::Right(user)
            }
            None => Verdict::Wrong,
        }
    }

    fn check_digest(
        &mut self,
        access: &Access,
        proof: &Proof,
        digest: &Digest,
        now: Instant,
    ) -> Verdict {
        let user = access.users.get(&digest.name);
        let right = match digest.algorithm {
            Algorithm::Md5 => {
                let hash = user.and_then(|user| user.digest_md5.clone());
                let known = hash.is_some();
                let hash = hash.unwrap_or_else(DigestHash::of_nobody);
                matches_response::<Md5>(&hash.to_hex(), proof.method, digest) & known
            }
            Algorithm::Sha256 => {
                let hash = user.and_then(|user| user.digest_sha256.clone());
                let known = hash.is_some();
                let hash = hash.unwrap_or_else(DigestHash::of_nobody);
                matches_response::<Sha256>(&hash.to_hex(), proof.method, digest) & known
            }
        };
        match user.filter(|_| right && digest.realm == REALM) {
            None => Verdict::Wrong,
            // Only clients that know the password learn whether two URIs lead to the same movie.
            Some(_) if !(proof.is_same_uri)(&digest.uri) => Verdict::Malformed,
            Some(user) => {
                let count = digest.qop.as_ref().map(|qop| qop.count);
                if self.nonce.accept(&digest.nonce, count, now) {
                    Verdict::Right(user.clone())
                } else {
                    Verdict::Stale
                }
            }
        }
    }
}

/// Compares a response with the one that follows from `H(A1)` (RFC 7616 section 3.4.1, RFC 2069).
fn matches_response<D: sha2::Digest>(ha1: &str, method: &str, digest: &Digest) -> bool {
    let ha2 = hex(&hash::<D>(&[method.as_bytes(), digest.uri.as_bytes()]));
    let nonce = digest.nonce.as_bytes();
    let want = match &digest.qop {
        Some(qop) => {
            let (nc, cnonce) = (qop.nc.as_bytes(), qop.cnonce.as_bytes());
            hash::<D>(&[ha1.as_bytes(), nonce, nc, cnonce, b"auth", ha2.as_bytes()])
        }
        None => hash::<D>(&[ha1.as_bytes(), nonce, ha2.as_bytes()]),
    };
    let response = digest.response.to_ascii_lowercase();
    hex(&want).as_bytes().ct_eq(response.as_bytes()).into()
}

/// Compares the password with the digest hashes of the user.
fn start_basic(access: &Access, name: &str, password: Vec<u8>, key: (u64, [u8; 32])) -> SlowStep {
    let user = access.users.get(name).cloned();
    let (md5, sha256) = (md5_hash(name, &password), sha256_hash(name, &password));
    let stored = user.as_ref().map(|user| (user.digest_md5.clone(), user.digest_sha256.clone()));
    let (stored_md5, stored_sha256) = stored.unwrap_or_default();
    let has_sha256 = stored_sha256.is_some();
    let (has_md5, has_any) = (stored_md5.is_some(), has_sha256 || stored_md5.is_some());
    // Both are compared, whichever the user has.
    let same_md5 = stored_md5.unwrap_or_else(DigestHash::of_nobody).is_same(&md5) & has_md5;
    let same_sha256 =
        stored_sha256.unwrap_or_else(DigestHash::of_nobody).is_same(&sha256) & has_sha256;
    let same = if has_sha256 { same_sha256 } else { same_md5 };
    SlowStep { user, matches_digest: same && has_any, password, key }
}

/// The rules, and the hash of a header with a key of this process: the password is not kept.
fn key_of(access: &Access, header: &str) -> (u64, [u8; 32]) {
    static SECRET: OnceLock<[u8; 32]> = OnceLock::new();
    let secret = SECRET.get_or_init(|| {
        let mut secret = [0; 32];
        let _ = getrandom::fill(&mut secret);
        secret
    });
    let hashed = Sha256::new().chain_update(secret).chain_update(header).finalize();
    (access.generation, hashed.into())
}

#[cfg(test)]
mod tests;
