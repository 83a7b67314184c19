// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sockets to a program that is not trusted: each read has a limit in bytes and in time.

mod control;
mod port;
mod receiver;

pub use control::{Control, MAX_REPLY, ReplyBytes};
pub use port::ReservedPort;
pub use receiver::Receivers;
