// SPDX-License-Identifier: MIT OR Apache-2.0
//! Shared by all programs: a log that never blocks or ends the program ([`log`]), and borders that no
//! panic crosses ([`border`]).
#![forbid(unsafe_code)]

pub mod border;
pub mod log;
