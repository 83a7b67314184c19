// SPDX-License-Identifier: MIT OR Apache-2.0
//! A report as one HTML page that needs no other file and runs no script.

use super::ladder::{Marked, Rung, ladder, rungs};
use super::timeline::timeline;
use super::{escaped, excerpt, summary, word};
use crate::check::{Excerpt, Pointer, Verdict};
use crate::recording::{Event, Recording};
use crate::report::{CheckResult, Report};
use gstmjpegfile::lab::{Explanation, explain_reply, explain_request, explain_rtp};
use std::fmt::Write;

const STYLE: &str = include_str!("report.css");

/// The start of the body of a page, and its end.
const BODY: [&str; 2] = ["<body>\n", "</body>\n</html>\n"];

/// The start of a page, with its heading.
fn start(title: &str) -> String {
    let [body, _] = BODY;
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{0}</title>\n<style>\n{STYLE}</style>\n</head>\n{body}<h1>{0}</h1>\n",
        escaped(title)
    )
}

/// Joins pages of reports, such as those of a server and a client, under a heading and some paragraphs.
pub fn joined(title: &str, paragraphs: &[String], pages: &[String]) -> String {
    let [body, end] = BODY;
    let mut out = start(title);
    for paragraph in paragraphs {
        // Writing to a String does not fail.
        let _ = writeln!(out, "<p class=\"summary\">{}</p>", escaped(paragraph));
    }
    // Texts of programs are escaped, so that they contain neither.
    let bodies = pages.iter().filter_map(|page| page.split_once(body)?.1.strip_suffix(end));
    out.extend(bodies);
    out + end
}

/// Writes a report as an HTML page: the checks, each exchange as a ladder, and its packets in time.
pub fn html(report: &Report) -> String {
    let mut out = start(&format!("Lab check: {}", report.subject));
    let class = if report.has_passed() { "passed" } else { "failed" };
    // Writing to a String does not fail.
    let _ = writeln!(
        out,
        "<p>{}, profile {}</p>\n<p class=\"summary {class}\">{}</p>",
        escaped(&report.movie),
        escaped(&report.profile),
        escaped(&summary(report))
    );
    for note in &report.notes {
        let _ = writeln!(out, "<p class=\"note\">{}</p>", escaped(note));
    }
    out.push_str("<h2>Checks</h2>\n<table class=\"checks\">\n");
    for result in &report.results {
        check(&mut out, report, result);
    }
    out.push_str("</table>\n");
    for (number, recording) in report.recordings.iter().enumerate() {
        exchange(&mut out, report, number, recording);
    }
    if let Some(output) = &report.output {
        let ended = output.ended.as_deref().unwrap_or("it ran until the check ended it");
        let _ = writeln!(
            out,
            "<h2>Output of the program</h2>\n<p><code>{}</code>: {}, {} bytes</p>\n<pre>{}</pre>",
            escaped(&output.command),
            escaped(ended),
            output.bytes,
            escaped(&output.text)
        );
    }
    let [_, end] = BODY;
    out + end
}

/// What is graded: a server or a client.
fn role(report: &Report) -> &str {
    report.subject.split(' ').next().unwrap_or_default()
}

fn check(out: &mut String, report: &Report, result: &CheckResult) {
    let class = word(&result.verdict).replace(' ', "-");
    let points = if result.is_counted() {
        format!("{}/{}", result.earned(), result.points)
    } else {
        "–".to_owned()
    };
    let _ = write!(
        out,
        "<tr class=\"{class}\" id=\"check-{id}\"><td class=\"verdict\">{}</td><td>{points}</td>\
         <td><code>{id}</code></td><td>{}",
        word(&result.verdict),
        escaped(result.title),
        id = escaped(result.id)
    );
    match &result.verdict {
        Verdict::Passed => {}
        Verdict::NotRun { reason } | Verdict::Skipped { reason } => {
            let _ = write!(out, "<p class=\"reason\">{}</p>", escaped(reason));
        }
        Verdict::Failed(failure) => {
            let rows = [
                ("basis", result.basis),
                ("expected", &failure.expected),
                ("actual", &failure.actual),
                ("likely cause", &failure.mistake),
                ("where to look", &failure.look_at),
            ];
            out.push_str("<dl>");
            for (name, text) in rows {
                let _ = write!(out, "<dt>{name}</dt><dd>{}</dd>", escaped(text));
            }
            out.push_str("</dl>");
            if let Some(excerpt) = &failure.excerpt {
                bytes(out, role(report), excerpt);
            }
        }
    }
    out.push_str("</td></tr>\n");
}

/// The bytes of a failure, with the wrong ones marked.
fn bytes(out: &mut String, role: &str, excerpt: &Excerpt) {
    let (Pointer::Entry(exchange, _) | Pointer::Packet(exchange, _)) = excerpt.pointer;
    let _ = write!(
        out,
        "<p class=\"bytes\"><a href=\"#{role}-exchange-{exchange}\">{}</a></p><pre class=\"bytes\">",
        escaped(&excerpt::heading(excerpt))
    );
    for line in excerpt::lines(excerpt) {
        for (shown, marked) in line {
            let shown = escaped(&shown);
            if marked {
                let _ = write!(out, "<mark>{shown}</mark>");
            } else {
                out.push_str(&shown);
            }
        }
        out.push('\n');
    }
    out.push_str("</pre>");
}

/// The messages and packets of an exchange that prove failures.
fn marked(report: &Report, exchange: usize) -> Marked {
    let mut marked = Marked::default();
    for result in &report.results {
        let Verdict::Failed(failure) = &result.verdict else { continue };
        match failure.excerpt.as_ref().map(|excerpt| excerpt.pointer) {
            Some(Pointer::Entry(number, entry)) if number == exchange => marked.entries.push(entry),
            Some(Pointer::Packet(number, packet)) if number == exchange => {
                marked.packets.push(packet);
            }
            _ => {}
        }
    }
    marked
}

fn exchange(out: &mut String, report: &Report, number: usize, recording: &Recording) {
    let marked = marked(report, number);
    let peer = role(report);
    let title = escaped(recording.title);
    let _ = writeln!(out, "<h2 id=\"{peer}-exchange-{number}\">{title}</h2>");
    out.push_str(&ladder(recording, &marked, peer));
    out.push_str(&timeline(recording, &marked));
    for (count, what) in [
        (recording.discarded, "packets were over the limit, and were not kept"),
        (recording.dropped.into(), "packets were dropped by this machine, which was too busy"),
    ] {
        if count > 0 {
            let _ = writeln!(out, "<p class=\"note\">{count} {what}</p>");
        }
    }
    out.push_str("<details><summary>Each line explained</summary>\n");
    for rung in rungs(recording) {
        match rung {
            Rung::Entry(entry, _, event) => {
                let bad = marked.entries.contains(&entry);
                match event {
                    Event::Request { bytes, .. } => {
                        explanation(out, bad, &explain_request(&String::from_utf8_lossy(bytes)));
                    }
                    Event::Reply { bytes, to } => {
                        let text = String::from_utf8_lossy(bytes);
                        explanation(out, bad, &explain_reply(&text, *to));
                    }
                    _ => {}
                }
            }
            Rung::Packets(first, packets) => {
                let bad = marked.has_packet(first..first + packets.len());
                if let Some((packet, header)) =
                    packets.first().and_then(|packet| Some((packet, packet.header()?)))
                {
                    let payload = packet.length.saturating_sub(12);
                    explanation(out, bad, &explain_rtp(&header, payload));
                }
            }
        }
    }
    out.push_str("</details>\n");
}

/// The most lines of a message that are explained.
const MAX_LINES: usize = 40;

/// The longest line that is shown, in characters.
const MAX_LINE: usize = 200;

fn explanation(out: &mut String, bad: bool, explanation: &Explanation) {
    let class = if bad { " class=\"bad\"" } else { "" };
    let _ = writeln!(out, "<h3{class}>{}</h3>\n<table>", escaped(&explanation.title));
    let cut = |text: &str| escaped(&text.chars().take(MAX_LINE).collect::<String>());
    for (line, sentence) in explanation.lines.iter().take(MAX_LINES) {
        let _ =
            writeln!(out, "<tr><td><code>{}</code></td><td>{}</td></tr>", cut(line), cut(sentence));
    }
    out.push_str("</table>\n");
    for remark in &explanation.remarks {
        let _ = writeln!(out, "<p class=\"remark\">{}</p>", cut(remark));
    }
}
