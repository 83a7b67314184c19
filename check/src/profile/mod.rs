// SPDX-License-Identifier: MIT OR Apache-2.0
//! Profiles: what a course asks for. A profile is a file in TOML; it inherits from a shipped one or from
//! another file, and states only what differs.
//!
//! - `settings.rs`: the contents of a profile, and the defaults, which are those of `textbook`.
//! - `keys.rs`: the keys of the file.
//! - `file.rs`: finds, reads and checks profiles.

mod file;
mod keys;
mod settings;

pub use file::{ProfileError, SHIPPED, load};
pub use settings::{
    ClientLab, Extension, Form, Fragments, Lab, Marker, Press, Profile, Times, TimestampRule,
    check_ids, default_points,
};
