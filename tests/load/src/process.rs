// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a process takes of the machine, from proc(5).

use anyhow::{Context, Result};
use serde::Serialize;
use std::time::Duration;

/// What a process has taken, or took in a time.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Usage {
    /// CPU time of all threads, in seconds.
    pub cpu: f64,
    /// Resident memory at the end, in KiB.
    pub memory: u64,
    /// Threads at the end.
    pub threads: usize,
}

impl Usage {
    /// What a process has taken so far.
    ///
    /// # Errors
    /// If it has ended.
    pub fn of(process: u32) -> Result<Self> {
        let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
        let field = |name: &str| -> Result<u64> {
            let line = status.lines().find(|line| line.starts_with(name)).context("no field")?;
            let number = line.split_ascii_whitespace().nth(1).context("no number")?;
            Ok(number.parse()?)
        };
        let threads = usize::try_from(field("Threads:")?)?;
        Ok(Self { cpu: cpu(process)?.as_secs_f64(), memory: field("VmRSS:")?, threads })
    }

    /// What it took since.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self { cpu: self.cpu - before.cpu, ..self }
    }
}

/// CPU time of all threads of a process so far.
///
/// # Errors
/// If it has ended.
pub fn cpu(process: u32) -> Result<Duration> {
    let mut nanoseconds = 0;
    for thread in std::fs::read_dir(format!("/proc/{process}/task"))? {
        // A thread may end meanwhile.
        if let Ok(text) = std::fs::read_to_string(thread?.path().join("schedstat")) {
            nanoseconds += text.split(' ').next().context("empty")?.parse::<u64>()?;
        }
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// CPU time of this thread so far, to the microsecond or better.
///
/// # Errors
/// If the system does not tell.
pub fn thread_cpu() -> Result<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = text.split(' ').next().context("empty")?.parse()?;
    Ok(Duration::from_nanos(nanoseconds))
}
