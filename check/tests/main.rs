// SPDX-License-Identifier: MIT OR Apache-2.0
//! The checks against servers that are made for them: a correct one, one deliberately wrong one for each
//! check, hostile ones, and our own server.

mod by_hand;
mod class;
mod class_clients;
mod clients;
mod defect;
mod hostile;
mod hostile_programs;
mod lab_server;
mod matrix;
mod own_client;
mod own_server;
mod reports;
mod sender;
mod starter;
mod support;
