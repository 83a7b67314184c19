// SPDX-License-Identifier: MIT OR Apache-2.0
//! Classes: correct submissions, wrong ones, and hostile ones, as folders and zip files.

use crate::hostile_programs::{DELETES, FORGES, HOSTILE, LOOKS, TEN_GIGABYTES};
use crate::starter::copy_starter;
use crate::support::{with_python, write_movies};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use zip::write::{SimpleFileOptions, ZipWriter};

/// A folder with the submissions of a class, and one with the movies.
pub struct TestClass {
    folder: TempDir,
    movies: TempDir,
}

impl TestClass {
    pub fn new() -> Self {
        let class =
            Self { folder: tempfile::tempdir().unwrap(), movies: tempfile::tempdir().unwrap() };
        write_movies(class.movies.path());
        let profile = "inherits = \"textbook\"\n[time]\nreply = \"1s\"\n";
        fs::write(class.movies.path().join("quick.toml"), profile).unwrap();
        let profile = "inherits = \"textbook\"\n[client]\nend = \"2s\"\n";
        fs::write(class.movies.path().join("quick-client.toml"), profile).unwrap();
        class
    }

    fn submissions(&self) -> &Path {
        self.folder.path()
    }

    /// Adds the starter with our solution of all gaps but some, as a folder.
    pub fn add_starter(&self, name: &str, open: &[usize]) {
        let folder = self.submissions().join(name);
        fs::create_dir_all(&folder).unwrap();
        copy_starter(&folder, open);
    }

    /// Adds our solution with a part of its server replaced, as a folder.
    fn add_edited(&self, name: &str, edits: &[(&str, &str)]) {
        self.add_edited_file(name, "Server.py", edits);
    }

    /// Adds our solution with a part of a file replaced, as a folder.
    pub fn add_edited_file(&self, name: &str, file: &str, edits: &[(&str, &str)]) {
        self.add_starter(name, &[]);
        let path = self.submissions().join(name).join(file);
        let mut text = fs::read_to_string(&path).unwrap();
        for (from, to) in edits {
            assert_eq!(text.matches(from).count(), 1, "{name}: {from}");
            text = text.replace(from, to);
        }
        fs::write(path, text).unwrap();
    }

    /// Adds a server, as a folder.
    fn add_program(&self, name: &str, text: &str) {
        self.add_file(name, "Server.py", text);
    }

    /// Adds a file, in a folder.
    pub fn add_file(&self, name: &str, file: &str, text: &str) {
        let folder = self.submissions().join(name);
        let path = folder.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Adds a zip file with names and texts.
    pub fn add_zip(&self, name: &str, files: &[(&str, &[u8])]) {
        let mut zip = ZipWriter::new(fs::File::create(self.submissions().join(name)).unwrap());
        for (name, bytes) in files {
            zip.start_file(*name, SimpleFileOptions::default()).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap();
    }

    /// Makes a zip file of a folder that was added, with a folder in it, and removes the folder.
    pub fn zip(&self, name: &str) {
        let folder = self.submissions().join(name);
        let mut files = Vec::new();
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            let inner = format!("lab of {name}/{}", entry.file_name().to_str().unwrap());
            files.push((inner, fs::read(entry.path()).unwrap()));
        }
        let files: Vec<(&str, &[u8])> =
            files.iter().map(|(a, b)| (a.as_str(), b.as_slice())).collect();
        fs::remove_dir_all(&folder).unwrap();
        self.add_zip(&format!("{name}.zip"), &files);
    }

    /// The command without movies and profile.
    pub fn bare_command(&self, out: &Path, options: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mjpeg-lab-check"));
        command.arg("class").arg(self.submissions()).arg("--out").arg(out).args(options);
        with_python(&mut command);
        command
    }

    pub fn command(&self, out: &Path, options: &[&str]) -> Command {
        let mut command = self.bare_command(out, options);
        let path = |name: &str| self.movies.path().join(name);
        command.arg("--movie").arg(path("movie.Mjpeg"));
        command.arg("--short-movie").arg(path("short.Mjpeg"));
        command.arg("--profile").arg(path("quick.toml"));
        command
    }

    /// Grades the class: its servers, unless the options ask for something else.
    pub fn grade(&self, out: &Path, options: &[&str]) -> Output {
        self.command(out, options).output().unwrap()
    }

    /// Grades the clients of the class.
    pub fn grade_clients(&self, out: &Path, options: &[&str]) -> Output {
        let mut command = self.bare_command(out, options);
        command.args(["--grade", "client", "--profile"]);
        command.arg(self.movies.path().join("quick-client.toml")).output().unwrap()
    }
}

/// What the verdict in a folder of results says: the failed checks and those that could not run, or why
/// there are no grades.
pub fn verdict(out: &Path, name: &str) -> String {
    let verdict = read_verdict(out, name);
    if let Some(problem) = verdict["problem"].as_str() {
        return problem.to_owned();
    }
    let of = |word: &str| {
        let checks = verdict["grades"]["checks"].as_array().unwrap().iter();
        let ids = checks.filter(|it| it["verdict"] == word).map(|it| it["id"].as_str().unwrap());
        ids.collect::<Vec<_>>().join(" ")
    };
    match (of("failed"), of("not run").split(' ').filter(|it| !it.is_empty()).count()) {
        (failed, 0) if failed.is_empty() => "passed".to_owned(),
        (failed, 0) => failed,
        (failed, count) => format!("{failed}, {count} not run"),
    }
}

/// The notes in a folder of results.
pub fn notes(out: &Path, name: &str) -> String {
    read_verdict(out, name)["notes"].to_string()
}

/// The checks in a folder of results that did not pass, and the notes.
pub fn problems(out: &Path, name: &str) -> String {
    let verdict = read_verdict(out, name);
    let checks = verdict["grades"]["checks"].as_array().into_iter().flatten();
    let checks: Vec<String> =
        checks.filter(|it| it["verdict"] != "passed").map(Value::to_string).collect();
    let page = fs::read_to_string(out.join(name).join("report.html")).unwrap_or_default();
    // What the page says of each check: the verdict has no reasons.
    let reasons =
        page.split("<p class=\"reason\">").skip(1).filter_map(|it| it.split("</p>").next());
    let reasons: BTreeSet<&str> = reasons.collect();
    let reasons: Vec<&str> = reasons.into_iter().collect();
    format!("{}\n{}\n{}", checks.join("\n"), verdict["notes"], reasons.join("\n"))
}

fn read_verdict(out: &Path, name: &str) -> Value {
    let path = out.join(name).join("verdict.json");
    let text = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap()
}

/// All that a run has printed.
pub fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it).into_owned()).concat()
}

/// A name, edits of the server, and the verdict.
type Row = (&'static str, &'static [(&'static str, &'static str)], &'static str);

const DEFECTS: &[Row] = &[
    ("correct", &[], "passed"),
    ("session", &[("randint(100_000, 999_999)", "randint(10_000, 99_999)")], "session-range"),
    ("no-blank", &[("Session: {self.number}", "Session:{self.number}")], "reply-form"),
    ("digits", &[("ssrc, frame)", "ssrc, b'%05d' % len(frame) + frame)")], "payload"),
    ("slow", &[("PERIOD = 0.05", "PERIOD = 0.1")], "frame-rate"),
];

#[test]
fn verdicts_do_not_depend_on_the_number_of_jobs() {
    let class = TestClass::new();
    for (name, edits, _) in DEFECTS {
        class.add_edited(name, edits);
    }
    class.zip("digits");
    class.zip("correct");
    fs::write(class.submissions().join("notes.txt"), "no submission").unwrap();
    let out = tempfile::tempdir().unwrap();
    let want: BTreeMap<&str, String> =
        DEFECTS.iter().map(|(name, _, verdict)| (*name, (*verdict).to_owned())).collect();
    for jobs in ["4", "1"] {
        let results = out.path().join(jobs);
        let done = class.grade(&results, &["--jobs", jobs, "--sandbox", "bubblewrap"]);
        assert_eq!(done.status.code(), Some(1), "{}", text(&done));
        let got: BTreeMap<&str, String> =
            want.keys().map(|name| (*name, verdict(&results, name))).collect();
        assert_eq!(got, want, "--jobs {jobs}: {}", text(&done));
        let errors = String::from_utf8_lossy(&done.stderr).into_owned();
        let first = "mjpeg-lab-check: left out, as neither a folder nor a zip file: notes.txt\n";
        assert!(errors.starts_with(first), "{errors}");
        assert!(errors.contains(" digits: 41 of 42 points; failed: payload ("), "{errors}");
        let page = results.join("summary.html");
        assert_eq!(
            String::from_utf8_lossy(&done.stdout),
            format!("1 of 5 submissions passed every check; {} has the summary\n", page.display())
        );
        let csv = fs::read_to_string(results.join("summary.csv")).unwrap();
        assert_eq!(csv.lines().count(), 6, "{csv}");
        assert!(csv.contains("\r\ndigits,41,42,41,1,0,payload,,,"), "{csv}");
        let report = fs::read_to_string(results.join("digits/report.html")).unwrap();
        assert!(report.contains("the length digits are sent too"));
        // The student's report names the program, and not what surrounds it.
        assert!(report.contains("<code>python3 Server.py ") && !report.contains("bwrap"));
    }
}

fn add_hostile(class: &TestClass) {
    for (name, program, ..) in HOSTILE {
        class.add_program(name, program);
    }
    class.zip("forks");
    class.add_edited("writes", &[("\ndef main():\n", TEN_GIGABYTES)]);
}

/// The verdicts of the hostile submissions and of one that is correct.
fn check_hostile(out: &Path, done: &Output) {
    for (name, _, want, note) in HOSTILE {
        assert_eq!(verdict(out, name), *want, "{name}: {}", text(done));
        assert!(notes(out, name).contains(note), "{name}: {}", notes(out, name));
    }
    assert_eq!(verdict(out, "correct"), "passed", "{}", text(done));
    assert_eq!(done.status.code(), Some(1), "{}", text(done));
}

/// The processes of the system that run one of the hostile programs.
pub fn left(marker: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|it| fs::read(it.path().join("cmdline")).ok());
    let lines = lines.map(|it| String::from_utf8_lossy(&it).replace('\0', " "));
    lines.filter(|line| line.contains(marker)).collect()
}

#[test]
fn hostile_submissions_cost_only_themselves() {
    let class = TestClass::new();
    add_hostile(&class);
    class.add_edited("correct", &[]);
    class.add_edited("deletes", &[("\ndef main():\n", DELETES)]);
    class.add_program("forges", FORGES);
    class.add_zip("outside.zip", &[("../../Server.py", b"x")]);
    fs::write(class.submissions().join("damaged.zip"), "PK").unwrap();
    fs::create_dir(class.submissions().join("empty")).unwrap();
    class.add_file("misplaced", "src/Server.py", "");
    class.add_file("misplaced", "notes.txt", "");
    let other = tempfile::NamedTempFile::new().unwrap();
    let out = tempfile::tempdir().unwrap();
    // Other runs of the tests have other processes.
    let marker = format!("HOSTILE_SERVER_OF_{}_", std::process::id());
    let run = format!("env {marker}=1 python3 Server.py {{port}}");
    let options = ["--jobs", "4", "--sandbox", "bubblewrap", "--run", &run];
    let done = class.grade(out.path(), &options);
    check_hostile(out.path(), &done);
    // The disk is a part of the memory that ends with the sandbox.
    assert_eq!(verdict(out.path(), "writes"), "passed", "{}", text(&done));
    let report = fs::read_to_string(out.path().join("writes/report.html")).unwrap();
    let written = report.split("written: ").nth(1).unwrap().split('\n').next().unwrap();
    assert!(written.parse::<u64>().unwrap() < 300_000_000, "{written}");
    assert_eq!(verdict(out.path(), "deletes"), "passed", "{}", text(&done));
    assert!(other.path().exists() && class.movies.path().join("movie.Mjpeg").exists());
    assert_eq!(verdict(out.path(), "misplaced"), "connect, 44 not run", "{}", text(&done));
    let note = "no file Server.py in the folder of the program; the submission has src/Server.py";
    assert!(notes(out.path(), "misplaced").contains(note), "{}", notes(out.path(), "misplaced"));
    assert_eq!(verdict(out.path(), "forges"), "connect, 44 not run", "{}", text(&done));
    let report = fs::read_to_string(out.path().join("forges/report.html")).unwrap();
    assert!(!report.contains("<script") && report.contains("&lt;script"));
    let problems = [
        ("outside", "the zip file has the name ../../Server.py, which is outside of its folder"),
        ("empty", "no file in it"),
    ];
    for (name, want) in problems {
        assert_eq!(verdict(out.path(), name), want);
    }
    let damaged = verdict(out.path(), "damaged");
    assert_eq!(
        damaged,
        "not a zip file that can be read: invalid Zip archive: Could not find EOCD"
    );
    assert_eq!(left(&marker), Vec::<String>::new());
}

#[test]
fn a_program_in_the_sandbox_sees_its_copy_and_nothing_else() {
    let class = TestClass::new();
    class.add_program("looks", LOOKS);
    let out = tempfile::tempdir().unwrap();
    let paths = [class.submissions(), class.movies.path(), out.path()];
    let paths = paths.map(|it| it.to_str().unwrap()).join(" ");
    let run = format!("python3 Server.py {{port}} {paths}");
    let done = class.grade(out.path(), &["--sandbox", "bubblewrap", "--run", &run]);
    assert_eq!(done.status.code(), Some(1), "{}", text(&done));
    let report = fs::read_to_string(out.path().join("looks/report.html")).unwrap();
    let printed = report.rsplit("<pre>").next().unwrap().split("</pre>").next().unwrap();
    let want = "interfaces: [&#39;lo&#39;]\nseen: []\n\
                files: [&#39;Server.py&#39;, &#39;movie.Mjpeg&#39;, &#39;short.Mjpeg&#39;] in /tmp: []\n\
                graders: []\nrights: 0 0 1\nnetwork: Network is unreachable\n";
    assert_eq!(printed, want);
}

/// Opens the terminal of the person who grades.
const OPENS_TERMINAL: &str = "try:
    open('/dev/tty')
    print('the terminal is open')
except OSError as error:
    print(error)
";

#[test]
fn a_program_in_the_sandbox_cannot_open_the_terminal_of_the_grader() {
    let class = TestClass::new();
    class.add_program("types", OPENS_TERMINAL);
    for with_terminal in [true, false] {
        let out = tempfile::tempdir().unwrap();
        let class_command = class.command(out.path(), &["--sandbox", "bubblewrap"]);
        let words = std::iter::once(class_command.get_program()).chain(class_command.get_args());
        let words: Vec<&str> = words.map(|word| word.to_str().unwrap()).collect();
        let line = words.join(" ");
        // A new session has no terminal.
        let outer: &[&str] = if with_terminal {
            &["script", "-qec", &line, "/dev/null"]
        } else {
            &["setsid", "--wait", "sh", "-c", &line]
        };
        let mut command = Command::new(outer[0]);
        command.args(&outer[1..]);
        command.envs(class_command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let done = command.stdin(Stdio::null()).output().unwrap();
        assert_eq!(done.status.code(), Some(1), "{}", text(&done));
        let report = fs::read_to_string(out.path().join("types/report.html")).unwrap();
        let printed = report.rsplit("<pre>").next().unwrap().split("</pre>").next().unwrap();
        let want = "[Errno 6] No such device or address: &#39;/dev/tty&#39;\n";
        assert_eq!(printed, want, "with terminal: {with_terminal}");
    }
}

#[test]
fn without_bubblewrap_limits_hold_and_the_run_says_so() {
    let class = TestClass::new();
    add_hostile(&class);
    class.add_edited("correct", &[]);
    let out = tempfile::tempdir().unwrap();
    let done = class.grade(out.path(), &["--jobs", "4", "--sandbox", "limits"]);
    check_hostile(out.path(), &done);
    // Its folder is on the disk: it is ended when it has written too much, or gets an error.
    assert_ne!(verdict(out.path(), "writes"), "", "{}", text(&done));
    let errors = String::from_utf8_lossy(&done.stderr).into_owned();
    let note = "mjpeg-lab-check: no sandbox, as asked for: programs run as ";
    assert!(errors.starts_with(note), "{errors}");
    assert!(errors.contains(", one after another, since they share the network. They can read"));
    assert_eq!(errors.matches("no sandbox").count(), 1, "{errors}");
    let page = fs::read_to_string(out.path().join("summary.html")).unwrap();
    assert!(page.contains("no sandbox, as asked for"));
}

#[test]
fn bubblewrap_that_does_not_work_is_named() {
    let class = TestClass::new();
    class.add_program("crashes", "import no_such_module");
    let folder = tempfile::tempdir().unwrap();
    let bwrap = folder.path().join("bwrap");
    fs::write(&bwrap, "#!/bin/sh\necho bwrap: no permissions >&2\nexit 1\n").unwrap();
    fs::set_permissions(&bwrap, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let run = |out: &str, kind: &str| {
        let mut command = class.command(&folder.path().join(out), &["--sandbox", kind]);
        let path = format!("{}:/usr/bin:/bin", folder.path().display());
        command.env("PATH", path).output().unwrap()
    };
    let done = run("a", "bubblewrap");
    assert_eq!(done.status.code(), Some(2));
    assert_eq!(
        String::from_utf8_lossy(&done.stderr),
        "mjpeg-lab-check: bubblewrap does not work here: bwrap: no permissions\n"
    );
    let done = run("b", "auto");
    assert_eq!(done.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&done.stderr);
    let note = "no sandbox, bubblewrap does not work here (bwrap: no permissions): programs run as";
    assert!(errors.contains(note), "{errors}");
}

/// Waits until a run has reported this many verdicts; returns what it has printed.
fn wait_for(child: &mut Child, lines: usize) -> String {
    let mut errors = child.stderr.take().unwrap();
    let mut text = String::new();
    let mut byte = [0];
    while text.lines().filter(|line| line.ends_with(" s)")).count() < lines || !text.ends_with('\n')
    {
        assert_eq!(errors.read(&mut byte).unwrap(), 1, "the run ended: {text}");
        text.push(char::from(byte[0]));
    }
    child.stderr = Some(errors);
    text
}

#[test]
fn ctrl_c_keeps_what_is_done_and_resume_goes_on() {
    let class = TestClass::new();
    class.add_program("a", "import no_such_module");
    class.add_program("b", "import time\ntime.sleep(1000)");
    class.add_program("c", "import no_such_module");
    let out = tempfile::tempdir().unwrap();
    let marker = format!("CTRL_C_OF_{}_", std::process::id());
    let run = format!("env {marker}=1 python3 Server.py {{port}}");
    let options = ["--sandbox", "bubblewrap", "--run", &run];
    let mut child = class
        .command(out.path(), &options)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    wait_for(&mut child, 1);
    // The second program runs.
    let end = Instant::now() + Duration::from_secs(20);
    while left(&marker).is_empty() {
        assert!(Instant::now() < end, "the second program does not start");
        std::thread::sleep(Duration::from_millis(10));
    }
    let id = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGINT).unwrap();
    let done = child.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(130), "{}", text(&done));
    assert!(text(&done).contains("stopped after 1 of 3 submissions: --resume goes on"));
    // The system ends a sandbox that was about to start when its grader has ended.
    let end = Instant::now() + Duration::from_secs(10);
    while !left(&marker).is_empty() {
        assert!(Instant::now() < end, "{:?}", left(&marker));
        std::thread::sleep(Duration::from_millis(10));
    }
    let csv = fs::read_to_string(out.path().join("summary.csv")).unwrap();
    assert_eq!(csv.lines().count(), 2, "{csv}");
    // A run that does not go on would replace it.
    let done = class.grade(out.path(), &options);
    assert_eq!(done.status.code(), Some(2));
    assert!(text(&done).contains("is not empty: --resume goes on with it"), "{}", text(&done));
    let resumed = [&options[..], &["--resume"]].concat();
    let done = class.grade(out.path(), &resumed);
    let kept = |done: &Output| {
        let text = text(done);
        let lines = text.lines().filter(|line| line.ends_with("(kept)"));
        lines.map(|line| line[line.find(' ').unwrap()..].trim()[..1].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((done.status.code(), kept(&done)), (Some(1), vec!["a".to_owned()]));
    // One that has changed is graded again, and with another profile all are.
    class.add_program("a", "import another_module");
    let done = class.grade(out.path(), &resumed);
    assert_eq!(kept(&done), ["b", "c"]);
    let profile = class.movies.path().join("quick.toml");
    fs::write(&profile, "[time]\nreply = \"1s\"\n[points]\ncseq = 3\n").unwrap();
    let done = class.grade(out.path(), &resumed);
    assert_eq!(kept(&done), Vec::<String>::new());
}

#[test]
fn wrong_usage_is_named() {
    let class = TestClass::new();
    let out = tempfile::tempdir().unwrap();
    let rows: [(&[&str], &str); 3] = [
        (&[], " has no folder and no zip file\n"),
        (
            &["--run", "python3 {prot}"],
            "--run: the command line has {prot}; known are {host}, {port}, {movie}\n",
        ),
        (&["--jobs", "0"], "0 is not in 1..=64"),
    ];
    for (options, want) in rows {
        let done = class.grade(&out.path().join("new"), options);
        assert_eq!(done.status.code(), Some(2), "{options:?}");
        assert!(text(&done).contains(want), "{options:?}: {}", text(&done));
    }
    class.add_program("a", "");
    let missing = PathBuf::from("/no/such/folder");
    let done = class.grade(out.path(), &["--readable", missing.to_str().unwrap()]);
    assert_eq!(done.status.code(), Some(2));
    assert!(text(&done).contains("--readable /no/such/folder: No such file"), "{}", text(&done));
}
