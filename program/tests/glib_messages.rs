// SPDX-License-Identifier: MIT OR Apache-2.0
//! Messages of GLib and GStreamer come through the log. GLib has one log writer for a process, so each
//! kind of log has a process of its own.

use mjpeg_program::log::{LineFormat, Log};
use std::process::Command;

/// Names the log of the child process.
const CHILD: &str = "MJPEG_PROGRAM_TEST_LOG";

/// Logs messages as GLib's and GStreamer's C code does, if this is a child process.
#[test]
fn child() {
    let Ok(kind) = std::env::var(CHILD) else { return };
    let started = match kind.as_str() {
        "events" => {
            let filter = tracing_subscriber::filter::LevelFilter::INFO;
            Log::start(
                tracing_subscriber::filter::Targets::new().with_default(filter),
                LineFormat::Plain,
            )
        }
        _ => Log::plain(),
    };
    let _log = started.expect("a log");
    glib::g_warning!("GStreamer", "Sticky event misordering \u{1b}[2J");
    glib::g_critical!("GLib-GObject", "assertion failed");
    glib::g_message!("GLib", "a message");
    glib::g_debug!("GLib", "not shown");
}

#[test]
fn messages_of_glib_and_gstreamer_are_lines_of_the_log() {
    let rows = [
        (
            "events",
            " WARN GStreamer-WARNING: Sticky event misordering \\u{1b}[2J\n\
             ERROR GLib-GObject-CRITICAL: assertion failed\n \
             INFO GLib: a message\n",
        ),
        (
            "plain",
            "GStreamer: Sticky event misordering \\u{1b}[2J\nGLib-GObject: assertion failed\n",
        ),
    ];
    for (kind, want) in rows {
        let mut child = Command::new(std::env::current_exe().expect("a path"));
        child.args(["--exact", "child", "--nocapture"]).env(CHILD, kind);
        let done = child.output().expect("a child process");
        assert!(done.status.success(), "{kind}: {done:?}");
        assert_eq!(String::from_utf8_lossy(&done.stderr), want, "{kind}");
    }
}
