// SPDX-License-Identifier: MIT OR Apache-2.0
//! A check, and what it found.

use crate::profile::Profile;
use std::ops::Range;

/// The result of an evaluation: nothing if the check passed.
pub type Outcome = Result<(), Verdict>;

/// A check that evaluates the evidence `E`: what was recorded of a server, or of a client.
pub struct Check<E> {
    /// The name in profiles and reports.
    pub id: &'static str,
    /// What a correct program does.
    pub title: &'static str,
    /// The basis of the check: a sentence of the lab in our words, or a section of an RFC.
    pub basis: &'static str,
    /// Whether a profile asks for it.
    pub applies: fn(&Profile) -> bool,
    /// Evaluates the evidence. It uses no clock and no socket, so that the same evidence has the same
    /// verdict.
    pub evaluate: fn(&E) -> Outcome,
}

impl<E> Check<E> {
    /// A check that every profile has.
    pub fn of_all(
        id: &'static str,
        title: &'static str,
        basis: &'static str,
        evaluate: fn(&E) -> Outcome,
    ) -> Self {
        Self { id, title, basis, applies: |_| true, evaluate }
    }

    /// What it finds.
    pub fn verdict(&self, evidence: &E) -> Verdict {
        (self.evaluate)(evidence).err().unwrap_or(Verdict::Passed)
    }
}

/// A verdict of a check that could not run.
pub fn not_run(reason: impl Into<String>) -> Verdict {
    Verdict::NotRun { reason: reason.into() }
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The program does what it should.
    Passed,
    /// It does not.
    Failed(Box<Failure>),
    /// What the check needs did not happen.
    NotRun {
        /// Why.
        reason: String,
    },
    /// The check is not part of this run, and does not count.
    Skipped {
        /// Why.
        reason: String,
    },
}

impl From<Failure> for Verdict {
    fn from(failure: Failure) -> Self {
        Self::Failed(Box::new(failure))
    }
}

/// A failed check, in words for the author of the program. All texts are printable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What was expected.
    pub expected: String,
    /// What the program did.
    pub actual: String,
    /// The bytes that prove it.
    pub excerpt: Option<Excerpt>,
    /// The likely cause.
    pub mistake: String,
    /// Where in the program to look.
    pub look_at: String,
}

impl Failure {
    /// A failure without bytes. `mistake` is the likely one, `look_at` where it is.
    pub fn new(
        expected: impl Into<String>,
        actual: impl Into<String>,
        mistake: impl Into<String>,
        look_at: impl Into<String>,
    ) -> Self {
        Self {
            expected: expected.into(),
            actual: actual.into(),
            excerpt: None,
            mistake: mistake.into(),
            look_at: look_at.into(),
        }
    }

    /// Adds the bytes that prove the failure.
    #[must_use]
    pub fn with(mut self, excerpt: impl Into<Option<Excerpt>>) -> Self {
        self.excerpt = excerpt.into();
        self
    }
}

/// Where the bytes of an excerpt are in the recordings of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pointer {
    /// A message: the numbers of the recording and of its entry, from 0.
    Entry(usize, usize),
    /// A packet: the numbers of the recording and of its packet, from 0.
    Packet(usize, usize),
}

/// The longest excerpt in bytes.
pub const MAX_EXCERPT: usize = 96;

/// Some bytes of a message or a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// What they are, such as `reply to SETUP`.
    pub of: String,
    /// Where they are recorded.
    pub pointer: Pointer,
    /// The first bytes of the message or packet, at most [`MAX_EXCERPT`].
    pub bytes: Vec<u8>,
    /// The number of bytes of the whole message or packet.
    pub length: usize,
    /// The bytes that are wrong.
    pub marked: Range<usize>,
}

impl Excerpt {
    /// An excerpt of a message or packet.
    pub fn new(
        of: impl Into<String>,
        pointer: Pointer,
        bytes: &[u8],
        marked: Range<usize>,
    ) -> Self {
        let kept = bytes.get(..MAX_EXCERPT).unwrap_or(bytes).to_vec();
        let end = marked.end.min(kept.len());
        let marked = marked.start.min(end)..end;
        Self { of: of.into(), pointer, length: bytes.len(), bytes: kept, marked }
    }

    /// Whether the bytes are best shown as text.
    pub fn is_text(&self) -> bool {
        matches!(self.pointer, Pointer::Entry(..))
    }
}
