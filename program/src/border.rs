// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where code of ours is called from code that a panic must not reach: C (a callback, a virtual
//! function, a signal handler), and threads that serve many.
//!
//! A panic that crosses C aborts the process; one in a thread that serves many ends the thread. Each
//! such border calls [`guarded`], which turns the panic into an error; the log has it with its
//! backtrace by then. In builds with debug assertions the environment variable
//! `MJPEG_RTSP_PANIC_AT` names a border that panics, for tests.

use std::backtrace::Backtrace;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};

/// The environment variable that makes a border panic.
pub const PANIC_AT: &str = "MJPEG_RTSP_PANIC_AT";

/// The guarded code has panicked; the panic has been logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Panicked {
    /// The border's name.
    pub border: &'static str,
}

impl std::fmt::Display for Panicked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a panic in {}", self.border)
    }
}

impl std::error::Error for Panicked {}

/// Runs `work`, and stops a panic.
///
/// What `work` has changed by then may be changed in part: the caller ends what it belongs to (a
/// session, a stream), nothing else.
///
/// # Errors
/// If it has panicked.
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
    static WANTED: LazyLock<Option<String>> = LazyLock::new(|| std::env::var(PANIC_AT).ok());
    assert!(WANTED.as_deref() != Some(border), "on purpose, at the border {border}");
}

#[cfg(not(debug_assertions))]
fn panic_on_purpose(_: &str) {}

/// A panic in words: where, what, and the calls that led to it.
pub(crate) fn describe(panic: &PanicHookInfo) -> String {
    let text = panic.payload_as_str().unwrap_or("(no text)");
    let place = panic.location().map_or_else(|| "unknown".to_owned(), ToString::to_string);
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("unnamed").to_owned();
    format!("panic in thread {name} at {place}: {text}\n{}", Backtrace::force_capture())
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
