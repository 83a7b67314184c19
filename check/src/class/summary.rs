// SPDX-License-Identifier: MIT OR Apache-2.0
//! The summary of a class as CSV and as a page.

use super::groups::{Group, groups};
use super::verdict::{ProgramPoints, REPORT, Verdict};
use crate::cli::Role;
use crate::output::escaped;
use base64::Engine;
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// The summary as CSV.
pub const CSV: &str = "summary.csv";

/// The summary as a page.
pub const PAGE: &str = "summary.html";

/// What a summary is of.
pub struct Heading<'a> {
    /// The folder of the submissions.
    pub folder: String,
    /// The profile's name and title.
    pub profile: String,
    /// The number of submissions, also of those without a verdict.
    pub submissions: usize,
    /// The programs that are graded of each.
    pub roles: &'a [Role],
    /// What the reader should know.
    pub notes: &'a [String],
}

impl Heading<'_> {
    /// The programs whose points are shown apart: those of several.
    fn apart(&self) -> &[Role] {
        if self.roles.len() > 1 { self.roles } else { &[] }
    }
}

/// The points of a program of a submission.
fn points(verdict: &Verdict, role: Role) -> Option<&ProgramPoints> {
    verdict.programs.iter().find(|it| it.program == role)
}

/// The summary as CSV (RFC 4180), with a line for each verdict.
pub fn csv(verdicts: &[Verdict], heading: &Heading) -> String {
    let groups = groups(verdicts);
    let mut out = "submission,earned,points,".to_owned();
    for role in heading.apart() {
        // Writing to a String does not fail.
        let _ = write!(out, "{0} earned,{0} points,", role.name());
    }
    out += "passed,failed,not run,failed checks,group,same bytes,seconds,problem,notes\r\n";
    for (number, verdict) in verdicts.iter().enumerate() {
        let count = |word: &str| {
            let checks = verdict.grades.iter().flat_map(|grades| &grades.checks);
            checks.filter(|check| check.counted && check.verdict == word).count().to_string()
        };
        let (earned, points) =
            verdict.grades.as_ref().map_or(("0".to_owned(), String::new()), |it| {
                (it.earned.to_string(), it.points.to_string())
            });
        let failed: Vec<&str> = verdict.failed().map(|check| check.id.as_str()).collect();
        let (group, same) = group_of(&groups, number);
        let mut fields = vec![verdict.name.clone(), earned, points];
        for role in heading.apart() {
            let (earned, points) =
                self::points(verdict, *role).map_or((0, None), |it| (it.earned, it.points));
            fields.push(earned.to_string());
            fields.push(points.map(|it| it.to_string()).unwrap_or_default());
        }
        fields.extend([
            count("passed"),
            count("failed"),
            count("not run"),
            failed.join(" "),
            group.map(|it| it.to_string()).unwrap_or_default(),
            same.map(|(group, part)| format!("{group}{}", letter(part))).unwrap_or_default(),
            format!("{:.1}", verdict.seconds),
            verdict.problem.clone().unwrap_or_default(),
            verdict.notes.join("; "),
        ]);
        out += &fields.iter().map(|it| field(it)).collect::<Vec<_>>().join(",");
        out += "\r\n";
    }
    out
}

/// A field of CSV. A spreadsheet takes what starts with some characters for a formula.
fn field(text: &str) -> String {
    let text = mjpeg_program::log::printable(text);
    let guard = if text.starts_with(['=', '+', '-', '@', '\t']) { "'" } else { "" };
    if text.contains([',', '"', '\n', '\r']) || !guard.is_empty() {
        format!("\"{guard}{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

/// The numbers from 1 of a submission's group, and of its part with the same bytes from 0.
fn group_of(groups: &[Group], submission: usize) -> (Option<usize>, Option<(usize, usize)>) {
    let Some(at) = groups.iter().position(|group| group.members.contains(&submission)) else {
        return (None, None);
    };
    let part = groups
        .get(at)
        .and_then(|group| group.same_bytes.iter().position(|part| part.contains(&submission)));
    (Some(at + 1), part.map(|part| (at + 1, part)))
}

/// a to z, then numbers.
fn letter(part: usize) -> String {
    u8::try_from(part)
        .ok()
        .filter(|part| *part < 26)
        .map_or_else(|| format!("-{part}"), |part| char::from(b'a' + part).to_string())
}

const STYLE: &str = include_str!("summary.css");

/// Sorts the table by the column whose heading is clicked.
const SCRIPT: &str = include_str!("summary.js");

/// The summary as a page that needs no other file but the reports.
pub fn page(verdicts: &[Verdict], heading: &Heading) -> String {
    let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(SCRIPT));
    let title = format!("Lab check of {}", heading.folder);
    let groups = groups(verdicts);
    let passed = verdicts.iter().filter(|it| it.has_passed()).count();
    let not_graded = verdicts.iter().filter(|it| it.grades.is_none()).count();
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{hash}'\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{0}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<h1>{0}</h1>\n\
         <p>Profile {1}; graded: {5}</p>\n<p class=\"summary\">{2} submissions: {passed} passed every check, {3} did not, \
         {not_graded} could not be graded, {4} have no verdict yet</p>\n",
        escaped(&title),
        escaped(&heading.profile),
        heading.submissions,
        verdicts.len() - passed - not_graded,
        heading.submissions.saturating_sub(verdicts.len()),
        heading.roles.iter().map(|role| role.name()).collect::<Vec<_>>().join(", ")
    );
    for note in heading.notes {
        // Writing to a String does not fail.
        let _ = writeln!(out, "<p class=\"note\">{}</p>", escaped(note));
    }
    out += "<table id=\"submissions\">\n<thead><tr><th>submission</th><th>points</th><th>of</th>";
    for role in heading.apart() {
        let _ = write!(out, "<th>{}</th>", role.name());
    }
    out += "<th>failed checks</th><th title=\"submissions that fail the same checks\">group</th>\
            <th title=\"and whose wrong bytes are the same\">same bytes</th><th>seconds</th></tr></thead>\n<tbody>\n";
    for (number, verdict) in verdicts.iter().enumerate() {
        row(&mut out, verdict, heading.apart(), group_of(&groups, number));
    }
    out += "</tbody>\n</table>\n";
    most_failed(&mut out, verdicts);
    alike(&mut out, verdicts, &groups);
    let _ = write!(out, "<script>{SCRIPT}</script>\n</body>\n</html>\n");
    out
}

/// The address of a submission's report. Names have no character that is special in addresses but blanks.
fn link(name: &str) -> String {
    format!("{}/{REPORT}", escaped(name).replace(' ', "%20"))
}

fn row(
    out: &mut String,
    verdict: &Verdict,
    apart: &[Role],
    groups: (Option<usize>, Option<(usize, usize)>),
) {
    let name = escaped(&verdict.name);
    let class = match &verdict.grades {
        Some(_) if verdict.has_passed() => "passed",
        Some(_) => "failed",
        None => "problem",
    };
    let _ = write!(out, "<tr class=\"{class}\"><td>");
    let (earned, of) = match &verdict.grades {
        Some(grades) => {
            let _ = write!(out, "<a href=\"{}\">{name}</a>", link(&verdict.name));
            (grades.earned.to_string(), grades.points.to_string())
        }
        None => {
            out.push_str(&name);
            ("0".to_owned(), "–".to_owned())
        }
    };
    let _ = write!(out, "</td><td class=\"number\">{earned}</td><td class=\"number\">{of}</td>");
    for role in apart {
        let words = points(verdict, *role).map(ProgramPoints::words).unwrap_or_default();
        let _ = write!(out, "<td class=\"number\">{words}</td>");
    }
    out.push_str("<td>");
    for check in verdict.failed() {
        let (id, title) = (escaped(&check.id), escaped(&check.title));
        let link = link(&verdict.name);
        let _ =
            write!(out, "<a href=\"{link}#check-{id}\" title=\"{title}\"><code>{id}</code></a> ");
    }
    let not_run = verdict.not_passed().count() - verdict.failed().count();
    if not_run > 0 {
        let _ = write!(out, "<span class=\"more\">{not_run} could not run</span>");
    }
    for text in verdict.problem.iter().chain(&verdict.notes) {
        let _ = write!(out, "<p class=\"note\">{}</p>", escaped(text));
    }
    let (group, same) = groups;
    let group = group.map(|it| format!("<a href=\"#group-{it}\">{it}</a>")).unwrap_or_default();
    let same = same.map(|(group, part)| format!("{group}{}", letter(part))).unwrap_or_default();
    let _ = writeln!(
        out,
        "</td><td>{group}</td><td>{same}</td><td class=\"number\">{:.1}</td></tr>",
        verdict.seconds
    );
}

/// The checks that most submissions fail.
fn most_failed(out: &mut String, verdicts: &[Verdict]) {
    let mut counts: Vec<(&str, &str, usize)> = Vec::new();
    for check in verdicts.iter().flat_map(Verdict::failed) {
        match counts.iter_mut().find(|(id, ..)| *id == check.id) {
            Some((.., count)) => *count += 1,
            None => counts.push((&check.id, &check.title, 1)),
        }
    }
    counts.sort_by_key(|(.., count)| std::cmp::Reverse(*count));
    if counts.is_empty() {
        return;
    }
    out.push_str("<h2>Checks that failed most</h2>\n<table>\n");
    for (id, title, count) in counts {
        let (id, title) = (escaped(id), escaped(title));
        let _ = writeln!(
            out,
            "<tr><td class=\"number\">{count}</td><td><code>{id}</code></td><td>{title}</td></tr>"
        );
    }
    out.push_str("</table>\n");
}

/// The groups of submissions that fail alike.
fn alike(out: &mut String, verdicts: &[Verdict], groups: &[Group]) {
    if groups.is_empty() {
        return;
    }
    out.push_str(
        "<h2>Submissions that fail alike</h2>\n<p>The same failures are no proof of a copy: many mistakes \
         are usual. The same wrong bytes are a hint to look at the programs.</p>\n",
    );
    let names = |members: &[usize]| {
        let name = |number: &usize| {
            verdicts
                .get(*number)
                .map(|it| format!("<a href=\"{}\">{}</a>", link(&it.name), escaped(&it.name)))
        };
        members.iter().filter_map(name).collect::<Vec<_>>().join(", ")
    };
    for (number, group) in groups.iter().enumerate() {
        let number = number + 1;
        let checks: Vec<String> =
            group.checks.iter().map(|id| format!("<code>{}</code>", escaped(id))).collect();
        let _ = writeln!(
            out,
            "<h3 id=\"group-{number}\">Group {number}: {} submissions fail {}</h3>\n<p>{}</p>",
            group.members.len(),
            checks.join(", "),
            names(&group.members)
        );
        for (part, members) in group.same_bytes.iter().enumerate() {
            let _ = writeln!(
                out,
                "<p>The same wrong bytes ({number}{}): {}</p>",
                letter(part),
                names(members)
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::verdict::{CheckVerdict, Grades};

    fn verdict(name: &str, checks: &[(&str, &str, Option<&str>)], earned: u64) -> Verdict {
        let checks: Vec<CheckVerdict> = checks
            .iter()
            .map(|(id, verdict, bytes)| CheckVerdict {
                id: (*id).to_owned(),
                title: format!("title of <{id}>"),
                verdict: (*verdict).to_owned(),
                counted: true,
                wrong_bytes: bytes.map(str::to_owned),
            })
            .collect();
        let grades =
            Grades { passed: earned == 2, earned, points: 2, summary: String::new(), checks };
        Verdict {
            grades: Some(grades),
            problem: None,
            seconds: 16.54,
            ..Verdict::not_graded(name, "")
        }
    }

    fn heading<'a>(roles: &'a [Role], notes: &'a [String]) -> Heading<'a> {
        Heading {
            folder: "<class>".to_owned(),
            profile: "textbook: the textbook's lab".to_owned(),
            submissions: 5,
            roles,
            notes,
        }
    }

    fn verdicts() -> Vec<Verdict> {
        let mut noted =
            verdict("b \"<b>", &[("cseq", "failed", Some("31")), ("payload", "not run", None)], 0);
        noted.notes.push("one, \"two\"".to_owned());
        vec![
            verdict("a", &[("cseq", "passed", None), ("payload", "passed", None)], 2),
            noted,
            verdict("=c", &[("cseq", "failed", Some("31")), ("payload", "passed", None)], 1),
            Verdict::not_graded("d", "not a zip file"),
        ]
    }

    #[test]
    fn csv_has_a_line_for_each_verdict_and_no_formula() {
        let want = [
            "submission,earned,points,passed,failed,not run,failed checks,group,same bytes,seconds,problem,notes",
            "a,2,2,2,0,0,,,,16.5,,",
            "\"b \"\"<b>\",0,2,0,1,1,cseq,1,1a,16.5,,\"one, \"\"two\"\"\"",
            "\"'=c\",1,2,1,1,0,cseq,1,1a,16.5,,",
            "d,0,,0,0,0,,,,0.0,not a zip file,",
            "",
        ];
        assert_eq!(csv(&verdicts(), &heading(&[Role::Server], &[])), want.join("\r\n"));
    }

    #[test]
    fn points_of_servers_and_clients_are_shown_apart() {
        let mut both = verdict("a", &[("cseq", "passed", None)], 2);
        let points =
            |program, earned, points| ProgramPoints { program, earned, points: Some(points) };
        both.programs = vec![points(Role::Server, 2, 2), points(Role::Client, 0, 3)];
        let verdicts = [both, Verdict::not_graded("d", "not a zip file")];
        let heading = heading(&[Role::Server, Role::Client], &[]);
        let want = [
            "submission,earned,points,server earned,server points,client earned,client points,passed,failed,\
             not run,failed checks,group,same bytes,seconds,problem,notes",
            "a,2,2,2,2,0,3,1,0,0,,,,16.5,,",
            "d,0,,0,,0,,0,0,0,,,,0.0,not a zip file,",
            "",
        ];
        assert_eq!(csv(&verdicts, &heading), want.join("\r\n"));
        let page = page(&verdicts, &heading);
        for part in [
            "<p>Profile textbook: the textbook&#39;s lab; graded: server, client</p>",
            "<th>of</th><th>server</th><th>client</th><th>failed checks</th>",
            "<td class=\"number\">2 of 2</td><td class=\"number\">0 of 3</td><td>",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
    }

    #[test]
    fn the_page_escapes_names_and_allows_one_script() {
        let notes = ["no sandbox <here>".to_owned()];
        let page = page(&verdicts(), &heading(&[Role::Server], &notes));
        for part in [
            "<h1>Lab check of &lt;class&gt;</h1>",
            "5 submissions: 1 passed every check, 2 did not, 1 could not be graded, 1 have no verdict yet",
            "<p class=\"note\">no sandbox &lt;here&gt;</p>",
            "<a href=\"b%20&quot;&lt;b&gt;/report.html\">b &quot;&lt;b&gt;</a>",
            "1 could not run</span><p class=\"note\">one, &quot;two&quot;</p>",
            "<h3 id=\"group-1\">Group 1: 2 submissions fail <code>cseq</code></h3>",
            "<td class=\"number\">2</td><td><code>cseq</code></td><td>title of &lt;cseq&gt;</td>",
            "<p class=\"note\">not a zip file</p>",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert_eq!(page.matches("<script").count(), 1);
        // The hash in the policy is that of the script.
        let script = page.split("<script>").nth(1).unwrap().split("</script>").next().unwrap();
        let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(script));
        assert!(page.contains(&format!("script-src 'sha256-{hash}'")));
    }
}
