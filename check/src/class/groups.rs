// SPDX-License-Identifier: MIT OR Apache-2.0
//! Submissions that fail alike: the same checks, and of these, those whose wrong bytes are the same too.

use super::verdict::Verdict;
use std::collections::BTreeMap;

/// Submissions that fail the same checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The checks.
    pub checks: Vec<String>,
    /// The numbers of all its submissions.
    pub members: Vec<usize>,
    /// The numbers of submissions whose wrong bytes are the same; each part has at least two.
    pub same_bytes: Vec<Vec<usize>>,
}

/// The groups of at least two submissions that fail the same checks, the largest first.
pub fn groups(verdicts: &[Verdict]) -> Vec<Group> {
    let mut by_checks: BTreeMap<Vec<&str>, Vec<usize>> = BTreeMap::new();
    for (number, verdict) in verdicts.iter().enumerate() {
        let checks: Vec<&str> = verdict.failed().map(|check| check.id.as_str()).collect();
        if !checks.is_empty() {
            by_checks.entry(checks).or_default().push(number);
        }
    }
    let mut groups: Vec<Group> = by_checks
        .into_iter()
        .filter(|(_, members)| members.len() > 1)
        .map(|(checks, members)| Group {
            checks: checks.into_iter().map(str::to_owned).collect(),
            same_bytes: same_bytes(verdicts, &members),
            members,
        })
        .collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.members.len()));
    groups
}

/// The members whose wrong bytes are the same. Failures without bytes, such as a wrong frame rate, prove
/// nothing and are not compared.
fn same_bytes(verdicts: &[Verdict], members: &[usize]) -> Vec<Vec<usize>> {
    let mut by_bytes: BTreeMap<Vec<Option<&str>>, Vec<usize>> = BTreeMap::new();
    for number in members {
        let Some(verdict) = verdicts.get(*number) else { continue };
        let bytes: Vec<Option<&str>> =
            verdict.failed().map(|check| check.wrong_bytes.as_deref()).collect();
        if bytes.iter().any(Option::is_some) {
            by_bytes.entry(bytes).or_default().push(*number);
        }
    }
    let mut parts: Vec<Vec<usize>> = by_bytes.into_values().filter(|it| it.len() > 1).collect();
    parts.sort();
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::verdict::{CheckVerdict, Grades};

    fn verdict(failed: &[(&str, Option<&str>)]) -> Verdict {
        let checks = failed.iter().map(|(id, bytes)| CheckVerdict {
            id: (*id).to_owned(),
            title: String::new(),
            verdict: "failed".to_owned(),
            counted: true,
            wrong_bytes: bytes.map(str::to_owned),
        });
        let grades = Grades {
            passed: failed.is_empty(),
            earned: 0,
            points: 0,
            summary: String::new(),
            checks: checks.collect(),
        };
        Verdict { grades: Some(grades), problem: None, ..Verdict::not_graded("a", "") }
    }

    #[test]
    fn submissions_are_grouped_by_failed_checks_and_by_wrong_bytes() {
        let verdicts = [
            verdict(&[]),
            verdict(&[("cseq", Some("31"))]),
            verdict(&[("frame-rate", None)]),
            verdict(&[("cseq", Some("32"))]),
            verdict(&[("frame-rate", None)]),
            verdict(&[]),
            verdict(&[("cseq", Some("31"))]),
            verdict(&[("cseq", Some("31")), ("frame-rate", None)]),
            Verdict::not_graded("a", "not a zip file"),
        ];
        let group = |check: &str, members: &[usize], same: &[&[usize]]| Group {
            checks: vec![check.to_owned()],
            members: members.to_vec(),
            same_bytes: same.iter().map(|it| it.to_vec()).collect(),
        };
        let want = [group("cseq", &[1, 3, 6], &[&[1, 6]]), group("frame-rate", &[2, 4], &[])];
        assert_eq!(groups(&verdicts), want);
    }
}
