// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks of the connection and of replies.

use super::{Outcome, ServerCheck, actual_reply, excerpt, named, not_run, play, reply, required};
use crate::check::Failure;
use crate::server::evidence::{PlayExchange, ServerEvidence};
use crate::server::exchange::{NoReply, RequestOutcome};

/// Where replies are written.
const REPLIES: &str = "the function that writes replies (replyRtsp in the Python skeleton, \
                       sendRtspResponse in the Java one)";

pub(super) fn checks() -> Vec<ServerCheck> {
    vec![
        ServerCheck::of_all(
            "connect",
            "the server accepts a connection",
            "lab: the server listens at the TCP port of its command line",
            connect,
        ),
        ServerCheck::of_all(
            "setup-reply",
            "SETUP gets a reply",
            "lab: the server answers each request; RFC 2326 section 6: a status line, then headers",
            setup_reply,
        ),
        ServerCheck::of_all(
            "setup-status",
            "SETUP of a movie that exists is answered 200",
            "lab: SETUP opens the movie and leads from INIT to READY; OK_200",
            setup_status,
        ),
        ServerCheck::of_all(
            "reply-form",
            "replies have the three lines that the lab's client reads by position",
            "lab: status line, CSeq, Session; the client takes the second word of each",
            reply_form,
        ),
        ServerCheck::of_all(
            "cseq",
            "each reply repeats the CSeq of its request",
            "lab: the client ignores a reply with another number; RFC 2326 section 12.17",
            cseq,
        ),
        ServerCheck::of_all(
            "session-constant",
            "all replies of a session have the same session number",
            "lab: SETUP makes the number, all later replies repeat it; RFC 2326 section 12.37",
            session_constant,
        ),
        ServerCheck::of_all(
            "session-range",
            "the session is a number in the range of the lab",
            "lab: a random number of six digits, which the client reads as an integer",
            session_range,
        ),
        ServerCheck::of_all(
            "session-own",
            "two clients have different session numbers",
            "lab: the number is random, since it identifies the session",
            session_own,
        ),
    ]
}

fn connect(evidence: &ServerEvidence) -> Outcome {
    let Some(why) = &evidence.no_connection else { return Ok(()) };
    let expected = "a TCP connection is accepted";
    if why.starts_with("the program ended") || why.starts_with("cannot start") {
        let mistake = "the program cannot be started like this, or it fails at once";
        let look = "the program's output at the end of this report; its arguments";
        return Err(Failure::new(expected, why, mistake, look).into());
    }
    let mistake =
        "the server listens at another port or address, or does not call listen and accept";
    let look = "where the server binds its socket: the port of the command line, and all addresses";
    Err(Failure::new(expected, why, mistake, look).into())
}

fn setup_reply(evidence: &ServerEvidence) -> Outcome {
    let play = play(evidence)?;
    let expected = "a reply that starts with RTSP/1.0 and a status code";
    let failure = |actual: String, mistake: &str, look: &str| {
        let failure = Failure::new(expected, actual, mistake, look);
        Err(failure.with(excerpt(play.recording, &play.setup, "")).into())
    };
    let Some(reply) = &play.setup.reply else {
        let limit = super::ms(evidence.profile.time.reply);
        let no_reply = play.setup.no_reply.unwrap_or(NoReply::Silence);
        let mistake = match no_reply {
            NoReply::Silence => {
                "the request is not read, not understood, or answered only in some state"
            }
            NoReply::Closed => "the server fails while it reads the request, and its thread ends",
            NoReply::TooLong => "a loop sends the reply again and again",
        };
        let actual = match no_reply {
            NoReply::Silence => format!("no reply within {limit}"),
            other => other.describe().to_owned(),
        };
        let look = "where the request is split into lines and words; the server's output";
        return failure(actual, mistake, look);
    };
    if reply.fields().is_some() && reply.bytes.starts_with(b"RTSP/") {
        return Ok(());
    }
    failure(
        format!("{} bytes that are no reply", reply.bytes.len()),
        "the first line is not a status line such as RTSP/1.0 200 OK",
        REPLIES,
    )
}

fn setup_status(evidence: &ServerEvidence) -> Outcome {
    let play = play(evidence)?;
    reply(&play.setup)?;
    if play.setup.code().is_none() {
        return Err(not_run("the reply to SETUP has no status code"));
    }
    if play.setup.is_ok() {
        return Ok(());
    }
    let mistake = "the movie is not found: the name is read from another word of the request, or it is \
                   not opened in the folder in which the server runs";
    let look = "where SETUP opens the movie; whether the folder has it";
    let failure = Failure::new("status 200", actual_reply(&play.setup), mistake, look);
    Err(failure.with(excerpt(play.recording, &play.setup, "")).into())
}

/// The requests of the main exchange that were answered with 200.
fn answered(play: &PlayExchange) -> impl Iterator<Item = &RequestOutcome> {
    let rest = [&play.play, &play.pause, &play.resume, &play.teardown];
    let all = std::iter::once(&play.setup).chain(rest.into_iter().flatten());
    all.filter(|answer| answer.is_ok())
}

fn first_answered(play: &PlayExchange) -> Result<(), super::Verdict> {
    let any = answered(play).next().map(drop);
    any.ok_or_else(|| not_run("no request was answered with 200"))
}

fn reply_form(evidence: &ServerEvidence) -> Outcome {
    let play = play(evidence)?;
    first_answered(play)?;
    for answer in answered(play) {
        let text = reply(answer)?.text();
        let lines: Vec<&str> = text.split('\n').collect();
        let word = |line: usize, word: usize| {
            let line = lines.get(line).copied().unwrap_or_default().trim_end_matches('\r');
            line.split(' ').nth(word).unwrap_or_default().to_owned()
        };
        let line = |number: usize| lines.get(number).copied().unwrap_or_default().trim_end();
        let wrong = if word(0, 0) != "RTSP/1.0" || word(0, 1) != "200" {
            Some((0, "RTSP/1.0 200 OK".to_owned(), "the status line"))
        } else if word(1, 0) != "CSeq:" || word(1, 1).is_empty() {
            Some((1, format!("CSeq: {}", answer.cseq), "CSeq, with one blank after the colon"))
        } else if word(2, 0) != "Session:" || word(2, 1).is_empty() {
            Some((2, "Session: 123456".to_owned(), "Session, with one blank after the colon"))
        } else {
            None
        };
        if let Some((number, expected, what)) = wrong {
            let expected = format!("line {} of the reply such as \"{expected}\"", number + 1);
            let shown: String = line(number).chars().take(100).collect();
            let actual = format!("{shown:?} in the reply to {}", named(answer));
            let mistake = format!(
                "line {} is not {what}; the client splits at LF, then at blanks",
                number + 1
            );
            let failure = Failure::new(expected, actual, mistake, REPLIES);
            return Err(failure.with(excerpt(play.recording, answer, line(number))).into());
        }
    }
    Ok(())
}

fn cseq(evidence: &ServerEvidence) -> Outcome {
    let play = play(evidence)?;
    first_answered(play)?;
    let number = |answer: &RequestOutcome| answer.reply.as_ref()?.fields()?.cseq;
    let first = number(&play.setup);
    let is_fixed = answered(play).count() > 2 && answered(play).all(|it| number(it) == first);
    for answer in answered(play) {
        let got = number(answer);
        if got == Some(answer.cseq) {
            continue;
        }
        let text = reply(answer)?.text();
        let line = text.lines().find(|line| line.to_ascii_lowercase().starts_with("cseq"));
        let actual = match (got, line) {
            (Some(number), _) => format!("CSeq {number} in the reply to {}", named(answer)),
            (None, Some(line)) => {
                let line: String = line.chars().take(100).collect();
                format!("{line:?} in the reply to {}", named(answer))
            }
            // Another check is for the lines.
            (None, None) => {
                return Err(not_run(format!(
                    "the reply to {} has no line with CSeq: see reply-form",
                    named(answer)
                )));
            }
        };
        let mistake = match got {
            Some(_) if is_fixed => "every reply has the same number instead of the request's",
            Some(number) if answer.cseq == number.saturating_add(1) => {
                "the reply has the number of the request before: it is stored too late, or the \
                 server counts by itself"
            }
            Some(_) => "the server counts by itself instead of repeating the request's number",
            None => {
                "another word of the request is repeated than the number: it is the last word of \
                     line 2"
            }
        };
        let failure = Failure::new(format!("CSeq: {}", answer.cseq), actual, mistake, REPLIES);
        return Err(failure.with(excerpt(play.recording, answer, line.unwrap_or_default())).into());
    }
    Ok(())
}

fn session(answer: &RequestOutcome) -> Option<String> {
    answer.reply.as_ref()?.fields()?.session
}

fn session_constant(evidence: &ServerEvidence) -> Outcome {
    let play = play(evidence)?;
    let Some(first) = session(&play.setup).filter(|_| play.setup.is_ok()) else {
        return Err(not_run("SETUP's reply has no session"));
    };
    if answered(play).count() < 2 {
        return Err(not_run("only SETUP was answered with 200"));
    }
    for answer in answered(play) {
        let Some(number) = session(answer) else { continue };
        if number != first {
            let actual = format!("session {number:?} in the reply to {}", named(answer));
            let mistake = "a new number is made for each reply instead of once, in SETUP";
            let look = "where the session number is made: only SETUP in INIT may do it";
            let expected = format!("session {first}, as in SETUP's reply");
            let failure = Failure::new(expected, actual, mistake, look);
            return Err(failure.with(excerpt(play.recording, answer, &number)).into());
        }
    }
    Ok(())
}

fn session_range(evidence: &ServerEvidence) -> Outcome {
    let play = play(evidence)?;
    let Some(text) = session(&play.setup).filter(|_| play.setup.is_ok()) else {
        return Err(not_run("SETUP's reply has no session"));
    };
    let lab = &evidence.profile.lab;
    let number: Option<u64> = text.parse().ok();
    if number.is_some_and(|it| (lab.session_min..=lab.session_max).contains(&it)) {
        return Ok(());
    }
    let expected = format!("a number from {} to {}", lab.session_min, lab.session_max);
    // It may be larger than any integer here.
    let mistake = if text.bytes().all(|byte| byte.is_ascii_digit()) {
        "the random number is made with another range"
    } else {
        "the session has other characters than digits; the client reads it by int()"
    };
    let look = "where SETUP makes the session number";
    let failure = Failure::new(expected, format!("session {text:?}"), mistake, look);
    Err(failure.with(excerpt(play.recording, &play.setup, &text)).into())
}

fn session_own(evidence: &ServerEvidence) -> Outcome {
    let two = required(evidence.two.as_ref())?;
    let [Some((first, _)), Some((second, _))] = &two.clients else {
        return Err(not_run("there were no two connections"));
    };
    if !(first.is_ok() && second.is_ok()) {
        return Err(not_run("SETUP of two clients was not answered with 200"));
    }
    let (Some(one), Some(other)) = (session(first), session(second)) else {
        return Err(not_run("a SETUP's reply has no session"));
    };
    if one != other {
        return Ok(());
    }
    let actual = format!("session {one:?} for both");
    let mistake = "the number is fixed, or made once when the server starts";
    let look = "where SETUP makes the session number";
    let failure = Failure::new("two different numbers", actual, mistake, look);
    Err(failure.with(excerpt(two.recording, second, &other)).into())
}
