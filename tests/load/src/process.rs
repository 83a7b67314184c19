// SPDX-License-Identifier: MIT OR Apache-2.0
//! Resources that a process uses, from proc(5).

use anyhow::{Context, Result};
use serde::Serialize;
use std::time::Duration;

/// CPU time, memory and threads of a process: in all, or during a measurement.
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
    /// Usage of a process up to now.
    ///
    /// # Errors
    /// If the process has ended.
    pub fn of(process: u32) -> Result<Self> {
        let status = read(&format!("/proc/{process}/status"))?;
        let field = |name: &str| -> Result<u64> {
            let line = status
                .lines()
                .find(|line| line.starts_with(name))
                .with_context(|| format!("no {name} in the status of process {process}"))?;
            let number = line.split_ascii_whitespace().nth(1).with_context(|| {
                format!("no number after {name} in the status of process {process}")
            })?;
            Ok(number.parse()?)
        };
        let threads = usize::try_from(field("Threads:")?)?;
        Ok(Self { cpu: cpu(process)?.as_secs_f64(), memory: field("VmRSS:")?, threads })
    }

    /// Usage since `before`: its CPU time, and the memory and threads now.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self { cpu: self.cpu - before.cpu, ..self }
    }
}

/// CPU time of all threads of a process up to now.
///
/// # Errors
/// If the process has ended.
pub fn cpu(process: u32) -> Result<Duration> {
    let mut nanoseconds = 0;
    let folder = format!("/proc/{process}/task");
    for thread in std::fs::read_dir(&folder).with_context(|| format!("cannot read {folder}"))? {
        // The thread may have ended since.
        if let Ok(text) = std::fs::read_to_string(thread?.path().join("schedstat")) {
            nanoseconds += running_time(&text)?;
        }
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// How often the threads of a process have woken up after they waited, up to now.
///
/// # Errors
/// If the process has ended.
pub fn wake_ups(process: u32) -> Result<u64> {
    let mut wake_ups = 0;
    let folder = format!("/proc/{process}/task");
    for thread in std::fs::read_dir(&folder).with_context(|| format!("cannot read {folder}"))? {
        let Ok(status) = std::fs::read_to_string(thread?.path().join("status")) else { continue };
        let number = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        wake_ups += number.context("no voluntary_ctxt_switches")?.trim().parse::<u64>()?;
    }
    Ok(wake_ups)
}

/// CPU time of this thread up to now, to the microsecond or better.
///
/// # Errors
/// If the kernel keeps no such statistics.
pub fn thread_cpu() -> Result<Duration> {
    Ok(Duration::from_nanos(running_time(&read("/proc/thread-self/schedstat")?)?))
}

fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))
}

/// Nanoseconds on a CPU: the first number of a `schedstat` file.
fn running_time(schedstat: &str) -> Result<u64> {
    let first = schedstat.split(' ').next().unwrap_or_default();
    first.parse().with_context(|| format!("no number at the start of schedstat: {schedstat:?}"))
}
