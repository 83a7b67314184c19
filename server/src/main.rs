// SPDX-License-Identifier: MIT OR Apache-2.0
//! `mjpeg-rtsp-server`: serves movies over RTSP.
#![forbid(unsafe_code)]

use clap::Parser;
use mjpeg_rtsp_server::access::user_commands;
use mjpeg_rtsp_server::certificate;
use mjpeg_rtsp_server::cli::{Arguments, Command};
use mjpeg_rtsp_server::config::{Config, ConfigError};
use mjpeg_rtsp_server::service_manager::Sockets;
use mjpeg_rtsp_server::{check_config, health_check, run, start_log};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(command) = &arguments.command {
        return run_command(command);
    }
    let sockets = Sockets::take();
    let config = Config::resolve(&arguments);
    // This fails only if the system cannot start another thread, which the server needs too.
    let Ok(_log) = start_log(config.as_ref().ok()) else { return ExitCode::FAILURE };
    let done = config.map_err(Into::into).and_then(|config| {
        if arguments.check_config {
            check_config(&config)
        } else if arguments.health_check {
            Ok(health_check::check(&config)?)
        } else {
            run(&arguments, config, sockets?)
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            format!("{error:#}").lines().for_each(|line| tracing::error!("{line}"));
            let is_usage = error.is::<ConfigError>();
            ExitCode::from(if is_usage { 2 } else { 1 })
        }
    }
}

/// Does something instead of serving.
fn run_command(command: &Command) -> ExitCode {
    let Ok(_log) = start_log(None) else { return ExitCode::FAILURE };
    let done = match command {
        Command::User(command) => user_commands::run(command).map(|done| {
            tracing::info!("{done}; a running server reads the file again by SIGHUP");
        }),
        Command::Certificate(arguments) => certificate(arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            format!("{error:#}").lines().for_each(|line| tracing::error!("{line}"));
            ExitCode::FAILURE
        }
    }
}
