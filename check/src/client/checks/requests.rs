// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks of the connection and of the requests: which one each button sends, and how it is written.

use super::{ClientCheck, METHODS, Outcome, excerpt, not_run, play, request, step, words};
use crate::check::{Check, Failure, Verdict};
use crate::client::evidence::{ClientEvidence, Run};
use crate::client::requests::Received;
use crate::profile::Form;
use gstmjpegfile::lab::{Method, Request};

pub(super) fn checks() -> Vec<ClientCheck> {
    vec![
        ClientCheck::of_all(
            "client-connects",
            "the client connects to the server's host and port",
            "lab: ClientLauncher HOST PORT RTP_PORT FILE; the client opens a TCP connection",
            connects,
        ),
        ClientCheck::of_all(
            "client-setup",
            "Setup sends SETUP for the movie, as the first request",
            "lab: SETUP leads from INIT to READY; RFC 2326 section 10.4",
            setup,
        ),
        ClientCheck::of_all(
            "client-transport",
            "SETUP states the client's RTP port",
            "lab: Transport: RTP/UDP; client_port= RTP_PORT; RFC 2326 section 12.39",
            transport,
        ),
        ClientCheck::of_all(
            "client-play",
            "Play sends PLAY",
            "lab: PLAY leads from READY to PLAYING; RFC 2326 section 10.5",
            |it| sends(it, "play", "playMovie: the test of the state, and the branch for PLAY"),
        ),
        ClientCheck::of_all(
            "client-pause",
            "Pause sends PAUSE",
            "lab: PAUSE leads from PLAYING to READY; RFC 2326 section 10.6",
            |it| sends(it, "pause", "pauseMovie: the test of the state, and the branch for PAUSE"),
        ),
        ClientCheck::of_all(
            "client-teardown",
            "Teardown sends TEARDOWN",
            "lab: TEARDOWN ends the session; RFC 2326 section 10.7",
            |it| sends(it, "teardown", "exitClient: TEARDOWN is sent before sockets are closed"),
        ),
        ClientCheck::of_all(
            "client-request-form",
            "requests are written as the lab asks",
            "lab: METHOD FILE RTSP/1.0, CSeq: N, then Transport or Session, split by line and word",
            form,
        ),
        ClientCheck::of_all(
            "client-cseq",
            "the sequence number rises by one from request to request",
            "lab: each request has the next CSeq; RFC 2326 section 12.17",
            cseq,
        ),
        Check {
            id: "client-session",
            title: "requests after SETUP send the session of SETUP's reply",
            basis: "lab: the client sends back the session number; RFC 2326 section 12.37",
            applies: |profile| profile.lab.form != Form::Seed,
            evaluate: session,
        },
        ClientCheck::of_all(
            "client-one-connection",
            "all requests come over one connection",
            "lab: the connection is opened once and kept until TEARDOWN",
            one_connection,
        ),
    ]
}

fn connects(evidence: &ClientEvidence) -> Outcome {
    let look = "connectToServer: the host and the port of the command line, in this order";
    let expected = "a TCP connection to the port of the command line";
    if let Some(error) = &evidence.no_start {
        let mistake = "the program is not there, or its name in --run is wrong";
        return Err(Failure::new(expected, error.clone(), mistake, "--run and --dir").into());
    }
    let run = evidence.play.as_ref();
    let run = run.ok_or_else(|| not_run("the client was not started in time"))?;
    if run.connected.is_some() {
        return Ok(());
    }
    if let Some((_, how)) = &run.ended {
        let actual = format!("the program ended with {how}");
        let mistake = "the program ends before it connects: read its output";
        return Err(Failure::new(expected, actual, mistake, look).into());
    }
    if let Some(reason) = &run.not_ready {
        return Err(not_run(reason.clone()));
    }
    let actual = "no connection, also not after Setup was pressed";
    let mistake = "it connects to another port or host, or not at all";
    Err(Failure::new(expected, actual, mistake, look).into())
}

/// A run with a connection.
fn connected(evidence: &ClientEvidence) -> Result<&Run, Verdict> {
    let run = play(evidence)?;
    run.connected.ok_or_else(|| not_run("there is no connection"))?;
    Ok(run)
}

fn setup(evidence: &ClientEvidence) -> Outcome {
    let run = connected(evidence)?;
    let step = step(run, "setup")?;
    let look = "setupMovie and the branch for SETUP in sendRtspRequest";
    let first = run.requests.first();
    let Some(setup) = run.request_of("setup") else {
        let expected = format!("SETUP within {} ms", step.limit.as_millis());
        let actual = first.map_or("no request".to_owned(), Received::named);
        let mistake = "Setup's command is not connected, the request is not sent, or its first word is another";
        let failure = Failure::new(expected, actual, mistake, look);
        return Err(failure.with(first.map(|it| excerpt(run, it, ""))).into());
    };
    if first.is_some_and(|first| first.entry != setup.entry) {
        let actual = first.map_or(String::new(), |it| format!("{} came before it", it.named()));
        let mistake = "a request is sent before Setup is pressed";
        let failure = Failure::new("SETUP is the first request", actual, mistake, look);
        return Err(failure.with(first.map(|it| excerpt(run, it, ""))).into());
    }
    let name = &evidence.movie.name;
    let file = file(setup);
    if file.as_ref() != Some(name) {
        let actual = file.map_or("no movie".to_owned(), |it| format!("{it:?}"));
        let mistake = "the name is fixed, or is another argument of the command line";
        let failure = Failure::new(format!("{name:?}"), actual, mistake, look);
        let line = setup.lines().first().copied().unwrap_or_default().to_owned();
        return Err(failure.with(excerpt(run, setup, &line)).into());
    }
    Ok(())
}

/// The movie in a request.
fn file(request: &Received) -> Option<String> {
    if let Ok(request) = Request::parse(&request.text) {
        return request.file;
    }
    // Another part of the request cannot be read.
    let line = request.text.lines().next()?;
    let word = line.split_ascii_whitespace().nth(1)?;
    Some(word.rsplit('/').next().unwrap_or(word).to_owned())
}

fn transport(evidence: &ClientEvidence) -> Outcome {
    let run = connected(evidence)?;
    let setup = request(run, "setup")?;
    let look = "the branch for SETUP in sendRtspRequest: self.rtpPort";
    let stated = Request::parse(&setup.text).ok().and_then(|it| it.rtp_port);
    if stated == Some(run.rtp_port) {
        return Ok(());
    }
    let actual = stated.map_or("no port".to_owned(), |port| format!("port {port}"));
    let mistake = match stated {
        Some(_) => "the port is fixed, or is another argument of the command line",
        None => "the third line lacks client_port, or the port",
    };
    let expected = format!("port {}, as in the command line", run.rtp_port);
    let line = setup.lines().get(2).copied().unwrap_or_default().to_owned();
    Err(Failure::new(expected, actual, mistake, look).with(excerpt(run, setup, &line)).into())
}

fn sends(evidence: &ClientEvidence, name: &'static str, look: &str) -> Outcome {
    let run = connected(evidence)?;
    let step = step(run, name)?;
    if run.request_of(name).is_some() {
        return Ok(());
    }
    let word = name.to_uppercase();
    let others = run.requests_in(name, &METHODS);
    let actual = match (&others[..], &run.ended) {
        ([], Some((_, how))) => format!("no request; the program ended with {how}"),
        ([], None) => "no request".to_owned(),
        (others, _) => words(others),
    };
    let mistake = match others.first() {
        Some(_) => {
            "another request is sent: its first word, or the branch that writes it, is wrong"
        }
        None => {
            "the button's command sends nothing: the state is another one than it should be, or the \
                 request is written but not sent"
        }
    };
    let expected = format!("{word} within {} ms", step.limit.as_millis());
    let failure = Failure::new(expected, actual, mistake, look);
    Err(failure.with(others.first().map(|it| excerpt(run, it, ""))).into())
}

/// A request as the profile's form has it, with the values of this one.
fn expected_form(request: &Received, form: Form, run: &Run) -> Option<String> {
    let method = request.method?;
    let first = request.text.lines().next().unwrap_or_default();
    let word = first.split_ascii_whitespace().nth(1).unwrap_or("movie.Mjpeg");
    let file = if word.starts_with("RTSP/") { "movie.Mjpeg" } else { word };
    let port = Request::parse(&request.text).ok().and_then(|it| it.rtp_port);
    let session = request.header("session").unwrap_or_default();
    let own = run.session.to_string();
    let session = if session.is_empty() { own.as_str() } else { session };
    let cseq = request.cseq.unwrap_or(1);
    Some(form.request_form().write(method, file, cseq, port.unwrap_or(run.rtp_port), session))
}

fn form(evidence: &ClientEvidence) -> Outcome {
    let run = connected(evidence)?;
    let form = evidence.profile.lab.form;
    let look =
        "sendRtspRequest: the text of this request; servers split it by line ends and blanks";
    let requests: Vec<&Received> = run
        .requests
        .iter()
        .filter(|it| it.method.is_some_and(|it| METHODS.contains(&it)))
        .collect();
    if requests.is_empty() {
        return Err(not_run("no request was sent"));
    }
    for request in requests {
        let Some(want) = expected_form(request, form, run) else { continue };
        let (lines, expected): (Vec<&str>, Vec<&str>) = (request.lines(), want.lines().collect());
        let is_crlf = request.text.contains("\r\n");
        for (at, line) in expected.iter().enumerate() {
            let have = lines.get(at).copied().unwrap_or_default();
            if have == *line {
                continue;
            }
            let actual =
                if lines.len() <= at { "no such line".to_owned() } else { format!("{have:?}") };
            let mistake = mistake_in(have, line, lines.len());
            let failure = Failure::new(format!("line {}: {line:?}", at + 1), actual, mistake, look);
            return Err(failure.with(excerpt(run, request, have)).into());
        }
        // Lines end with LF or CRLF where servers take both.
        if matches!(form, Form::Java | Form::BlankLine | Form::Url) && !is_crlf {
            let mistake = "lines end with \\n only: Java's readLine takes it, others do not";
            let failure = Failure::new("lines that end with \\r\\n", "\\n", mistake, look);
            return Err(failure.with(excerpt(run, request, "")).into());
        }
        let is_complete = request.text.ends_with('\n');
        if form == Form::Java && !is_complete {
            let mistake = "the last line has no end: a server that reads lines waits for it";
            let failure = Failure::new("a line end after the last line", "none", mistake, look);
            return Err(failure.with(excerpt(run, request, "")).into());
        }
    }
    Ok(())
}

fn mistake_in(have: &str, want: &str, lines: usize) -> &'static str {
    let squeezed = |text: &str| text.split_ascii_whitespace().collect::<String>();
    if lines < 2 {
        "the lines are not separated by a line end"
    } else if squeezed(have) == squeezed(want) {
        "blanks are missing or too many: the server splits the line by single blanks"
    } else if want.starts_with("CSeq") {
        "the second line is not CSeq, with one blank after the colon"
    } else if want.contains("client_port") {
        "the third line is not the lab's Transport line"
    } else if want.starts_with("Session") {
        "the third line is not Session, with one blank after the colon"
    } else {
        "the line has other words than the lab's"
    }
}

fn cseq(evidence: &ClientEvidence) -> Outcome {
    let run = connected(evidence)?;
    let look = "sendRtspRequest: self.rtspSeq, which each request increases by one";
    let mut last: Option<u64> = None;
    for request in &run.requests {
        let Some(number) = request.cseq else {
            let mistake = "the second line has no number";
            let failure = Failure::new("a sequence number", "none", mistake, look);
            return Err(failure.with(excerpt(run, request, "")).into());
        };
        if let Some(before) = last.filter(|before| Some(number) != before.checked_add(1)) {
            let mistake = match number {
                number if number == before => "the number is not increased before this request",
                number if number > before => "the number is increased more than once",
                _ => "the number is set back",
            };
            let expected = format!("CSeq {}", before.saturating_add(1));
            let failure = Failure::new(expected, format!("CSeq {number}"), mistake, look);
            let line = request.lines().get(1).copied().unwrap_or_default().to_owned();
            return Err(failure.with(excerpt(run, request, &line)).into());
        }
        last = Some(number);
    }
    match run.requests.len() {
        0 | 1 => Err(not_run("fewer than two requests were sent")),
        _ => Ok(()),
    }
}

fn session(evidence: &ClientEvidence) -> Outcome {
    let run = connected(evidence)?;
    let look =
        "parseRtspReply: self.sessionId is taken from SETUP's reply; sendRtspRequest sends it";
    let later = run
        .requests
        .iter()
        .filter(|it| matches!(it.method, Some(Method::Play | Method::Pause | Method::Teardown)));
    let mut any = false;
    for request in later {
        any = true;
        let have = request.header("session").unwrap_or_default();
        if have == run.session.to_string() {
            continue;
        }
        let mistake = match have {
            "" => "the third line is missing, or is not Session",
            "0" => "the session is sent before it is taken from the reply",
            _ => "the number is fixed, or is read from another word of the reply",
        };
        let actual =
            if have.is_empty() { "no session".to_owned() } else { format!("session {have:?}") };
        let failure = Failure::new(format!("session {}", run.session), actual, mistake, look);
        let line = request.lines().get(2).copied().unwrap_or_default().to_owned();
        return Err(failure.with(excerpt(run, request, &line)).into());
    }
    if any { Ok(()) } else { Err(not_run("no request was sent after SETUP")) }
}

fn one_connection(evidence: &ClientEvidence) -> Outcome {
    let run = connected(evidence)?;
    let first = run.requests.first().ok_or_else(|| not_run("no request was sent"))?;
    let Some(other) = run.requests.iter().find(|it| it.connection != first.connection) else {
        return Ok(());
    };
    let mistake = "the client connects again for each request";
    let look = "connectToServer is called once, when the client starts";
    let actual = format!("{} came over another one", other.named());
    let failure = Failure::new("the connection of SETUP", actual, mistake, look);
    Err(failure.with(excerpt(run, other, "")).into())
}
