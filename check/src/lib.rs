// SPDX-License-Identifier: MIT OR Apache-2.0
//! Grades programs of the course lab: a server, or a client.
//!
//! A run has three parts that know little of each other:
//!
//! ```text
//! exchanges   net/, {server,client}/scenarios/  speak with the program; write down what happened, and when
//!     |  Recording: messages and packets with their times
//!     v
//! checks      {server,client}/checks/    evaluate what was recorded; no sockets, no clock, no waiting
//!     |  Report: for each check a verdict, and the bytes that prove it
//!     v
//! outputs     output/                    a table, JSON, JUnit, Gradescope, PrairieLearn, HTML
//! ```
//!
//! The program that is graded is never trusted: each read has a limit in bytes and time, and each text of
//! it is escaped before it is shown.
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod check;
pub mod class;
pub mod cli;
pub mod client;
pub mod clock;
pub mod limited;
pub mod movie;
pub mod net;
#[cfg(test)]
mod numbers;
pub mod output;
pub mod process;
mod processes;
pub mod profile;
pub mod recording;
pub mod report;
pub mod run;
pub mod server;
