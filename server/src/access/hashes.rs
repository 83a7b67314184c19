// SPDX-License-Identifier: MIT OR Apache-2.0
//! The forms in which passwords are stored, and the digests of RFC 2617 and RFC 7616.

use super::REALM;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use md5::Md5;
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;

/// `H(A1)` of RFC 2617: the hash of name, realm and password. Anyone who knows it can log in, so it is not
/// printed by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct DigestHash<const N: usize>([u8; N]);

/// `H(A1)` by MD5.
pub type Md5Hash = DigestHash<16>;

/// `H(A1)` by SHA-256.
pub type Sha256Hash = DigestHash<32>;

impl<const N: usize> fmt::Debug for DigestHash<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DigestHash")
    }
}

impl<const N: usize> DigestHash<N> {
    /// Reads hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; N];
        if text.len() != 2 * N || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// The hash in hexadecimal digits.
    pub fn to_hex(&self) -> String {
        hex(&self.0)
    }

    /// Compares two hashes in the same time, wherever they differ.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// A hash that no password has.
    pub(crate) fn of_nobody() -> Self {
        Self([0; N])
    }
}

/// Bytes in hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value & 0xf)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// Hashes parts that are separated by colons.
pub(crate) fn hash<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
    let mut hasher = D::new();
    for (number, part) in parts.iter().enumerate() {
        if number > 0 {
            hasher.update(b":");
        }
        hasher.update(part);
    }
    hasher.finalize().to_vec()
}

fn digest_hash<D: Digest, const N: usize>(name: &str, password: &[u8]) -> DigestHash<N> {
    let bytes = hash::<D>(&[name.as_bytes(), REALM.as_bytes(), password]);
    DigestHash(bytes.try_into().unwrap_or([0; N]))
}

/// The hash of a user's password by MD5.
pub fn md5_hash(name: &str, password: &[u8]) -> Md5Hash {
    digest_hash::<Md5, 16>(name, password)
}

/// The hash of a user's password by SHA-256.
pub fn sha256_hash(name: &str, password: &[u8]) -> Sha256Hash {
    digest_hash::<Sha256, 32>(name, password)
}

/// What all argon2 hashes start with: algorithm, version and costs. All are the same, so that each check
/// of a password takes the same time.
const ARGON2_START: &str = "$argon2id$v=19$m=19456,t=2,p=1$";

/// A hash of argon2id with a salt. It does not reveal a password that is not easy to guess.
#[derive(Clone, PartialEq, Eq)]
pub struct Argon2Hash(String);

impl fmt::Debug for Argon2Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Argon2Hash")
    }
}

impl Argon2Hash {
    /// What a hash may be, for errors.
    pub const ALLOWED: &str =
        "a hash of argon2id that starts with \"$argon2id$v=19$m=19456,t=2,p=1$\"";

    /// Reads a hash in PHC string format.
    pub fn parse(text: &str) -> Option<Self> {
        let valid = text.starts_with(ARGON2_START)
            && text.len() <= 256
            && PasswordHash::new(text).is_ok_and(|it| it.salt.is_some() && it.hash.is_some());
        valid.then(|| Self(text.to_owned()))
    }

    /// Hashes a password with a salt.
    ///
    /// # Errors
    /// If the password is too long.
    pub fn new(password: &[u8], salt: &[u8; 16]) -> argon2::password_hash::Result<Self> {
        let salt = SaltString::encode_b64(salt)?;
        Ok(Self(hasher().hash_password(password, &salt)?.to_string()))
    }

    /// The hash in PHC string format.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a password has this hash. Takes about 20 ms of CPU time and 19 MiB of memory.
    pub(crate) fn is_of(&self, password: &[u8]) -> bool {
        PasswordHash::new(&self.0)
            .is_ok_and(|hash| hasher().verify_password(password, &hash).is_ok())
    }

    /// A hash that no password has, which takes the same time to check.
    pub(crate) fn of_nobody() -> Self {
        let zeros = |count: usize| "A".repeat(count);
        Self(format!("{ARGON2_START}{}${}", zeros(22), zeros(43)))
    }
}

fn hasher() -> Argon2<'static> {
    // The defaults are those of ARGON2_START; a test compares them.
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_hashes_are_those_of_other_programs() {
        // printf 'ana:mjpeg-rtsp:secret' | md5sum; the same with sha256sum.
        assert_eq!(md5_hash("ana", b"secret").to_hex(), MD5);
        assert_eq!(sha256_hash("ana", b"secret").to_hex(), SHA256);
        assert_eq!(Md5Hash::parse(MD5), Some(md5_hash("ana", b"secret")));
        assert_eq!(Md5Hash::parse(&MD5.to_uppercase()), Some(md5_hash("ana", b"secret")));
        for text in ["", &MD5[1..], SHA256, &MD5.replace('0', "g"), &"\u{e9}".repeat(16)] {
            assert_eq!(Md5Hash::parse(text), None, "{text}");
        }
        assert_eq!(format!("{:?}", md5_hash("ana", b"secret")), "DigestHash");
    }

    const MD5: &str = "e5551d3cbeb18940e105b98a3886d32f";
    const SHA256: &str = "7c4842f12427c46775a374ea7d9c56920521e64802e647b4d9624b6ee6a8b222";

    #[test]
    fn argon2_hashes_have_the_costs_of_all_others() {
        let hash = Argon2Hash::new(b"secret", &[7; 16]).unwrap();
        assert!(hash.as_str().starts_with(ARGON2_START), "{}", hash.as_str());
        assert!(hash.is_of(b"secret") && !hash.is_of(b"Secret"));
        assert_eq!(Argon2Hash::parse(hash.as_str()), Some(hash.clone()));
        let nobody = Argon2Hash::of_nobody();
        assert_eq!(Argon2Hash::parse(nobody.as_str()), Some(nobody.clone()));
        assert!(!nobody.is_of(b""));
        let cheap = hash.as_str().replace("t=2", "t=1");
        let start = ARGON2_START.to_owned();
        for text in ["", "secret", &cheap, &start, &format!("{start}AAAA")] {
            assert_eq!(Argon2Hash::parse(text), None, "{text}");
        }
    }
}
