// SPDX-License-Identifier: MIT OR Apache-2.0
//! Stops panics at borders: where our code is called by code that a panic must not reach. That is C
//! (a callback, a virtual function, a signal handler), or a thread that serves many clients.
//!
//! A panic that reaches C aborts the process; a panic in a thread that serves many clients ends the
//! thread. At each border the code is called by [`guarded`], which turns the panic into an error, after
//! the panic hook has logged it with its backtrace. In builds with debug assertions the environment
//! variable `MJPEG_RTSP_PANIC_AT` names a border that panics, for tests.

use std::backtrace::Backtrace;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};

/// The environment variable that names the border that panics.
pub const PANIC_AT: &str = "MJPEG_RTSP_PANIC_AT";

/// The guarded code has panicked; the panic is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Panicked {
    /// Name of the border that stopped the panic.
    pub border: &'static str,
}

impl std::fmt::Display for Panicked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a panic in {}", self.border)
    }
}

impl std::error::Error for Panicked {}

/// Runs `work` and stops its panic.
///
/// After a panic, `work` may have left data half changed: the caller ends what the data belong to (a
/// session, a stream) and nothing else.
///
/// # Errors
/// If `work` panicked.
pub fn guarded<T>(border: &'static str, work: impl FnOnce() -> T) -> Result<T, Panicked> {
    let work = AssertUnwindSafe(|| {
        panic_on_purpose(border);
        work()
    });
    catch_unwind(work).map_err(|_| {
        tracing::error!("stopped a panic at the border {border}");
        Panicked { border }
    })
}

#[cfg(debug_assertions)]
fn panic_on_purpose(border: &str) {
    use std::sync::LazyLock;
    static PANICKING: LazyLock<Option<String>> = LazyLock::new(|| std::env::var(PANIC_AT).ok());
    assert!(PANICKING.as_deref() != Some(border), "on purpose, at the border {border}");
}

#[cfg(not(debug_assertions))]
fn panic_on_purpose(_: &str) {}

/// Describes a panic: its thread, position in the source, message and backtrace.
pub(crate) fn describe(panic: &PanicHookInfo) -> String {
    let message = panic.payload_as_str().unwrap_or("(no message)");
    let location = panic.location().map_or_else(|| "unknown".to_owned(), ToString::to_string);
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("unnamed").to_owned();
    format!("panic in thread {name} at {location}: {message}\n{}", Backtrace::force_capture())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error() {
        assert_eq!(guarded("test", || 7), Ok(7));
        let panicked = guarded("test", || -> u32 { panic!("on purpose") });
        assert_eq!(panicked, Err(Panicked { border: "test" }));
        assert_eq!(Panicked { border: "test" }.to_string(), "a panic in test");
    }
}
