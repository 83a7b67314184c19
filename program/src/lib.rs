// SPDX-License-Identifier: MIT OR Apache-2.0
//! Shared by all programs: a log that never blocks or ends the program ([`log`]), borders that no
//! panic crosses ([`border`]), and files in TOML that people write ([`toml_file`]).
#![forbid(unsafe_code)]

pub mod border;
pub mod log;
pub mod toml_file;
