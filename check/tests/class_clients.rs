// SPDX-License-Identifier: MIT OR Apache-2.0
//! Classes whose clients are graded, alone or with their servers.

use crate::class::{TestClass, left, notes, problems, text, verdict};
use crate::hostile_programs::{DELETES, FLOODS_PICTURES, HOSTILE, TEN_GIGABYTES};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A name, the open gaps of the starter, and the verdict.
const GAPS: &[(&str, &[usize], &str)] = &[
    ("correct", &[], "passed"),
    ("no-request", &[5], "client-setup, 28 not run"),
    ("no-close", &[8], "client-close"),
];

/// The file that starts clients.
const LAUNCHER: &str = "ClientLauncher.py";

/// Where the launcher of the starter is edited.
const MAIN: &str = "\ndef main():\n";

fn client_class() -> TestClass {
    let class = TestClass::new();
    for (name, open, _) in GAPS {
        class.add_starter(name, open);
    }
    class
}

/// The verdicts of submissions by their names.
fn verdicts<'a>(out: &Path, names: impl Iterator<Item = &'a str>) -> BTreeMap<String, String> {
    names.map(|name| (name.to_owned(), verdict(out, name))).collect()
}

#[test]
fn clients_are_graded_in_the_sandbox_whatever_the_number_of_jobs() {
    let class = client_class();
    class.zip("no-close");
    let out = tempfile::tempdir().unwrap();
    let want: BTreeMap<String, String> =
        GAPS.iter().map(|(name, _, want)| ((*name).to_owned(), (*want).to_owned())).collect();
    // Both at the same time: the machine is busy, and the run takes half as long.
    std::thread::scope(|scope| {
        for jobs in ["4", "1"] {
            let (class, want, results) = (&class, &want, out.path().join(jobs));
            scope.spawn(move || {
                let options = ["--jobs", jobs, "--sandbox", "bubblewrap"];
                let done = class.grade_clients(&results, &options);
                assert_eq!(done.status.code(), Some(1), "{}", text(&done));
                let names = || GAPS.iter().map(|(name, ..)| *name);
                let found: Vec<String> = names().map(|name| problems(&results, name)).collect();
                let said = format!("--jobs {jobs}: {}\n{}", text(&done), found.join("\n"));
                assert_eq!(&verdicts(&results, names()), want, "{said}");
                let report = fs::read_to_string(results.join("correct/report.html")).unwrap();
                // The student's report names the program, and not what surrounds it.
                assert!(report.contains("<code>python3 ClientLauncher.py 127.0.0.1 "));
                assert!(!report.contains("bwrap") && !report.contains("PYTHONPATH"));
                // A correct client says that requests failed. That is in the exchange, not in the summary.
                let message = "the client shows a message: Request failed: RTSP/1.0 404 Not Found";
                assert!(report.contains(message));
                let csv = fs::read_to_string(results.join("summary.csv")).unwrap();
                assert!(!csv.contains("message"), "{csv}");
            });
        }
    });
}

#[test]
fn servers_and_clients_are_graded_together() {
    let class = TestClass::new();
    class.add_starter("correct", &[]);
    class.add_starter("gaps", &[2, 8]);
    let out = tempfile::tempdir().unwrap();
    // Paths need not be UTF-8.
    let temporary = out.path().join(OsStr::from_bytes(b"tmp \xff"));
    fs::create_dir(&temporary).unwrap();
    let results = out.path().join("results");
    let options = ["--grade", "both", "--jobs", "2", "--sandbox", "bubblewrap"];
    let done = class.command(&results, &options).env("TMPDIR", &temporary).output().unwrap();
    assert_eq!(fs::read_dir(temporary).unwrap().count(), 0);
    let out = results.as_path();
    assert_eq!(done.status.code(), Some(1), "{}", text(&done));
    for (name, want) in [("correct", "passed"), ("gaps", "pause-stops client-close")] {
        assert_eq!(verdict(out, name), want, "{}\n{}", text(&done), problems(out, name));
    }
    let errors = String::from_utf8_lossy(&done.stderr).into_owned();
    let line = " gaps: 70 of 72 points (server 41 of 42, client 29 of 30); failed: pause-stops, client-close (";
    assert!(errors.contains(line), "{errors}");
    let csv = fs::read_to_string(out.join("summary.csv")).unwrap();
    let heading =
        "submission,earned,points,server earned,server points,client earned,client points,passed,";
    assert!(csv.starts_with(heading), "{csv}");
    assert!(csv.contains("\r\ngaps,70,72,41,42,29,30,70,2,0,pause-stops client-close,,,"), "{csv}");
    let page = fs::read_to_string(out.join("summary.html")).unwrap();
    assert!(page.contains("<td class=\"number\">41 of 42</td><td class=\"number\">29 of 30</td>"));
    assert!(page.contains("<a href=\"gaps/report.html#check-client-close\""), "{page}");
    // One page has both reports, and no name twice.
    let report = fs::read_to_string(out.join("gaps/report.html")).unwrap();
    assert!(
        report
            .contains("<p class=\"summary\">70 of 72 points: server 41 of 42, client 29 of 30</p>")
    );
    let ids: Vec<&str> =
        report.split(" id=\"").skip(1).map(|it| it.split('"').next().unwrap()).collect();
    let mut unique = ids.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), ids.len(), "{ids:?}");
    for id in ["check-pause-stops", "check-client-close", "server-exchange-0", "client-exchange-0"]
    {
        assert!(ids.contains(&id), "{id}: {ids:?}");
    }
    assert_eq!(report.matches("<!DOCTYPE html>").count(), 1);
    // What is graded is a part of what a resumed run keeps verdicts by.
    let resumed = [&options[..], &["--resume"]].concat();
    let done = class.grade(out, &resumed);
    assert_eq!(text(&done).matches("(kept)").count(), 2, "{}", text(&done));
}

/// The hostile programs that are tried as clients. None ever is one.
const TRIED: [&str; 6] = ["crashes", "hangs", "floods", "binary", "forks", "computes"];

fn add_hostile(class: &TestClass) {
    for (name, program, ..) in HOSTILE.iter().filter(|it| TRIED.contains(&it.0)) {
        class.add_file(name, LAUNCHER, program);
    }
    class.add_edited_file("damages", LAUNCHER, &[(MAIN, TEN_GIGABYTES), (MAIN, DELETES)]);
    class.add_edited_file("pictures", LAUNCHER, &[(MAIN, FLOODS_PICTURES)]);
    class.add_starter("correct", &[]);
}

fn check_hostile(out: &Path, log: &str) {
    for name in TRIED {
        let got = verdict(out, name);
        // One that has ended has not connected; of one that goes on, nothing is known. One that forks is
        // ended when it has too many processes, or its time to start is over.
        let want = match name {
            "crashes" => &["client-connects, 29 not run"][..],
            "forks" => &["client-connects, 29 not run", ", 30 not run"],
            _ => &[", 30 not run"],
        };
        assert!(want.contains(&got.as_str()), "{name}: {got}: {log}");
    }
    let forks = notes(out, "forks");
    assert!(forks.contains("processes; allowed are 64"), "{forks}");
    for name in ["correct", "damages"] {
        assert_eq!(verdict(out, name), "passed", "{name}: {log}");
    }
}

#[test]
fn hostile_clients_cost_only_themselves() {
    let class = TestClass::new();
    add_hostile(&class);
    class.add_zip("outside.zip", &[("../../ClientLauncher.py", b"x")]);
    let out = tempfile::tempdir().unwrap();
    let marker = format!("HOSTILE_CLIENT_OF_{}_", std::process::id());
    let run = format!("env {marker}=1 python3 {LAUNCHER} {{host}} {{port}} {{rtp_port}} {{movie}}");
    let options = ["--jobs", "4", "--sandbox", "bubblewrap", "--run-client", &run];
    let done = class.grade_clients(out.path(), &options);
    assert_eq!(done.status.code(), Some(1), "{}", text(&done));
    check_hostile(out.path(), &text(&done));
    // What it reports is not read to the end, so that it is driven no longer.
    let pictures = verdict(out.path(), "pictures");
    assert!(pictures.contains(" not run"), "{pictures}: {}", text(&done));
    let outside =
        "the zip file has the name ../../ClientLauncher.py, which is outside of its folder";
    assert_eq!(verdict(out.path(), "outside"), outside);
    assert_eq!(left(&marker), Vec::<String>::new());
}

#[test]
fn without_bubblewrap_clients_are_graded_too() {
    let class = TestClass::new();
    class.add_starter("correct", &[]);
    class.add_file("crashes", LAUNCHER, "import no_such_module");
    class.add_file("hangs", LAUNCHER, "import time\ntime.sleep(1000)");
    let out = tempfile::tempdir().unwrap();
    let done = class.grade_clients(out.path(), &["--jobs", "4", "--sandbox", "limits"]);
    let want = [
        ("correct", "passed"),
        ("crashes", "client-connects, 29 not run"),
        ("hangs", ", 30 not run"),
    ];
    let want = want.map(|(name, verdict)| (name.to_owned(), verdict.to_owned()));
    let names = ["correct", "crashes", "hangs"].into_iter();
    assert_eq!(verdicts(out.path(), names), BTreeMap::from(want), "{}", text(&done));
}

#[test]
fn options_that_do_not_fit_what_is_graded_are_named() {
    let class = TestClass::new();
    class.add_starter("correct", &[]);
    let out = tempfile::tempdir().unwrap();
    let client = ["--grade", "client"];
    let rows: [(&[&str], &str); 5] = [
        (&["--run", "x"], "--run is for servers, and --grade asks for none"),
        (&["--thorough"], "--thorough is for servers, and --grade asks for none"),
        (
            &["--run-client", "x {rtp}"],
            "--run-client: the command line has {rtp}; known are {host}, {port}, {rtp_port}, {movie}",
        ),
        (
            &["--profile", "java"],
            "the profile java does not press the buttons of clients by the stand-in for tkinter, and class \
             does nothing else: set press = \"stand-in\" in [client], or grade clients one by one",
        ),
        (&["--grade", "both"], "--movie is missing: servers are graded with a movie"),
    ];
    for (options, want) in rows {
        let both = options.contains(&"--grade");
        let options = if both { options.to_vec() } else { [&client[..], options].concat() };
        let done = class.bare_command(&out.path().join("new"), &options).output().unwrap();
        let errors = String::from_utf8_lossy(&done.stderr);
        assert_eq!(
            (done.status.code(), errors.into_owned()),
            (Some(2), format!("mjpeg-lab-check: {want}\n")),
            "{options:?}"
        );
    }
    let done = class.grade(&out.path().join("new"), &["--run-client", "x"]);
    let want = "mjpeg-lab-check: --run-client is for clients, and --grade asks for none\n";
    assert_eq!(String::from_utf8_lossy(&done.stderr), want);
}
