// SPDX-License-Identifier: MIT OR Apache-2.0
//! The signals that ask the process to end, for front ends that tear the session down first.

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The first of SIGHUP, SIGINT and SIGTERM that the process has received. The second one ends the
/// process at once.
#[derive(Debug, Default)]
pub struct Termination {
    number: Arc<AtomicUsize>,
}

impl Termination {
    /// Handles the signals from now on.
    pub fn new() -> Result<Self> {
        let number = Arc::new(AtomicUsize::new(0));
        let again = Arc::new(AtomicBool::new(false));
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            // The order decides: the first signal sets the flag after this check.
            flag::register_conditional_shutdown(signal, 128 + signal, again.clone())
                .and_then(|_| flag::register(signal, again.clone()))
                .and_then(|_| {
                    let value = usize::try_from(signal).unwrap_or_default();
                    flag::register_usize(signal, number.clone(), value)
                })
                .context("cannot handle signals")?;
        }
        Ok(Self { number })
    }

    /// Whether there was a signal.
    pub fn is_requested(&self) -> bool {
        self.number.load(Ordering::Relaxed) != 0
    }

    /// The exit code after the signal, as shells define it; `None` if there was none.
    pub fn exit_code(&self) -> Option<ExitCode> {
        let number = self.number.load(Ordering::Relaxed);
        let code = u8::try_from(number).ok().filter(|number| *number != 0)?;
        Some(ExitCode::from(128_u8.saturating_add(code)))
    }
}
