// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reports how far a class is: a bar on a terminal, and a line for each submission.

use super::verdict::{ProgramPoints, Verdict};
use indicatif::{ProgressBar, ProgressStyle};
use mjpeg_program::log::say;
use std::fmt::Write;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The most checks that a line names.
const NAMED: usize = 4;

/// Reports how far a class is.
pub struct Progress {
    bar: Option<ProgressBar>,
    total: usize,
    done: AtomicUsize,
}

impl Progress {
    /// Starts; none of this many submissions is graded yet.
    pub fn new(total: usize) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total as u64);
            let style = "{bar:40} {pos} of {len}, {eta} left; {wide_msg}";
            if let Ok(style) = ProgressStyle::with_template(style) {
                bar.set_style(style);
            }
            bar
        });
        Self { bar, total, done: AtomicUsize::new(0) }
    }

    /// A submission is being graded.
    pub fn started(&self, name: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(name.to_owned());
            bar.tick();
        }
    }

    /// A submission was graded, or the run was stopped. The flag is whether the verdict is an earlier one.
    pub fn ended(&self, name: &str, verdict: Option<&(Verdict, bool)>) {
        let Some((verdict, earlier)) = verdict else { return };
        let done = self.done.fetch_add(1, Ordering::SeqCst) + 1;
        let line = format!("[{done}/{}] {name}: {}", self.total, words(verdict, *earlier));
        match &self.bar {
            Some(bar) => {
                bar.println(line);
                bar.inc(1);
            }
            None => say(&line),
        }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A verdict in one line.
fn words(verdict: &Verdict, earlier: bool) -> String {
    let Some(grades) = &verdict.grades else {
        return format!("not graded: {}", verdict.problem.as_deref().unwrap_or_default());
    };
    let ids: Vec<&str> = verdict.failed().map(|check| check.id.as_str()).collect();
    let mut text = format!("{} of {} points", grades.earned, grades.points);
    if verdict.programs.len() > 1 {
        let words = |it: &ProgramPoints| format!("{} {}", it.program.name(), it.words());
        let programs: Vec<String> = verdict.programs.iter().map(words).collect();
        // Writing to a String does not fail.
        let _ = write!(text, " ({})", programs.join(", "));
    }
    if let Some(named) = ids.get(..ids.len().min(NAMED)).filter(|named| !named.is_empty()) {
        text += "; failed: ";
        text += &named.join(", ");
        if ids.len() > NAMED {
            let _ = write!(text, " and {} more", ids.len() - NAMED);
        }
    }
    text + &if earlier { " (kept)".to_owned() } else { format!(" ({:.1} s)", verdict.seconds) }
}
