// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the programs share: a log that never blocks or ends a program ([`log`]), and borders that
//! a panic does not cross ([`border`]).
#![forbid(unsafe_code)]

pub mod border;
pub mod log;
