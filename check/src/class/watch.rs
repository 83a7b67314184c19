// SPDX-License-Identifier: MIT OR Apache-2.0
//! Watches the programs of a class: what they take together of the machine. One that takes too much is
//! ended; one that computes on several cores gets the lowest priority, and one of which several processes compute is
//! stopped most of the time, so that it does not disturb others.

use super::sandbox::Kind;
use crate::processes::{Process, processes};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The most processes of a program.
const MAX_PROCESSES: usize = 64;

/// The most memory of all processes of a program, in bytes.
const MAX_MEMORY: u64 = 1024 * 1024 * 1024;

/// The most bytes that a program may write into its folder without bubblewrap.
const MAX_WRITTEN: u64 = 128 * 1024 * 1024;

/// Time between two checks of all processes.
const PERIOD: Duration = Duration::from_millis(200);

/// Time between two checks of the files of a program.
const FILES_PERIOD: Duration = Duration::from_secs(1);

/// A program that computes for more than this share of the time, on all cores together, gets the lowest
/// priority. A loop that waits for nothing takes 1, and a lab server of a beginner may have one.
const BUSY: f64 = 1.5;

/// A program that has this many processes that compute or wait for a core, at this many successive checks, is stopped
/// most of the time. A priority would not be enough: Linux gives each session its share, whatever the priorities of its
/// processes are (sched(7), autogroup), and one with a low priority keeps what others wait for in the kernel until it
/// gets a core. A stopped process keeps nothing.
const RUNNING: usize = 3;
const RUNNING_LOOKS: usize = 5;

/// How long such a program runs of each period.
const RUN_TIME: Duration = Duration::from_millis(40);
const STOP_TIME: Duration = PERIOD.saturating_sub(RUN_TIME);

/// The time over which [`BUSY`] is measured.
const BUSY_PERIOD: Duration = Duration::from_secs(1);

/// The lowest priority.
const LOWEST: i32 = 19;

/// How long to keep trying to kill processes.
const KILL_TIME: Duration = Duration::from_secs(5);

/// Time between two attempts to kill.
const POLL: Duration = Duration::from_millis(10);

/// A program and its grader.
#[derive(Debug)]
struct Watched {
    /// The process that we have started, and the time of its start: another one may have its number later.
    root: i32,
    start: Option<u64>,
    /// Processes between it and the program.
    above: usize,
    /// The folder of the program, if its size is limited here.
    folder: Option<PathBuf>,
    folder_at: Instant,
    /// All processes so far, with the times of their start: orphans are found by these.
    known: BTreeSet<(i32, u64)>,
    /// CPU time used so far, and when it was measured.
    computed: (u64, Instant),
    /// The number of successive checks at which many processes were running.
    running_looks: usize,
    busy: bool,
    /// Whether it is stopped most of the time.
    crowded: bool,
    /// Why the program was ended.
    ended: Option<String>,
}

#[derive(Debug, Default)]
struct Shared {
    watched: Mutex<BTreeMap<i32, Watched>>,
    end: Mutex<bool>,
    ending: Condvar,
}

impl Shared {
    /// Waits for some time, or for the end. Returns whether it is the end.
    fn wait(&self, time: Duration) -> bool {
        let waited = self.ending.wait_timeout_while(lock(&self.end), time, |end| !*end);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Watches programs in a thread, until it is dropped.
#[derive(Debug)]
pub struct Watch {
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Watch {
    /// Starts to watch.
    ///
    /// # Errors
    /// If the system cannot start a thread.
    pub fn start() -> std::io::Result<Self> {
        let shared: Arc<Shared> = Arc::default();
        let of_thread = shared.clone();
        let watch = move || {
            let ticks = rustix::param::clock_ticks_per_second();
            loop {
                let stopped = look(&of_thread, ticks);
                let ends = of_thread.wait(STOP_TIME);
                for process in stopped {
                    // An error means that it is gone.
                    let _ = kill(process, Signal::SIGCONT);
                }
                if ends || of_thread.wait(RUN_TIME) {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("watch".to_owned()).spawn(watch)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Watches a grader that has been started, and its program.
    pub fn add(&self, root: u32, kind: Kind, folder: &Path) {
        let Ok(root) = i32::try_from(root) else { return };
        let limits = kind == Kind::Limits;
        let now = Instant::now();
        let start = processes().iter().find(|it| it.id == root).map(|it| it.start);
        let watched = Watched {
            root,
            start,
            above: if limits { 1 } else { 2 },
            folder: limits.then(|| folder.to_owned()),
            folder_at: now,
            known: BTreeSet::new(),
            computed: (0, now),
            running_looks: 0,
            busy: false,
            crowded: false,
            ended: None,
        };
        lock(&self.shared.watched).insert(root, watched);
    }

    /// Ends what is left of a grader and its program, and returns the note on it.
    pub fn end(&self, root: u32) -> Vec<String> {
        let root = i32::try_from(root).unwrap_or(i32::MAX);
        let Some(mut watched) = lock(&self.shared.watched).remove(&root) else {
            return Vec::new();
        };
        let end = Instant::now() + KILL_TIME;
        while kill_all(&watched.members(&processes(), 0)) && Instant::now() < end {
            std::thread::sleep(POLL);
        }
        let busy = "the program computed on several cores, and got the lowest priority";
        let crowded = format!(
            "the program had several processes that computed, and ran {} ms of each {}",
            RUN_TIME.as_millis(),
            PERIOD.as_millis()
        );
        let crowded = watched.crowded.then_some(crowded);
        let busy = watched.busy.then(|| busy.to_owned());
        crowded.or(busy).into_iter().chain(watched.ended).collect()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        *lock(&self.shared.end) = true;
        self.shared.ending.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Kills processes. Returns whether there was one.
fn kill_all(members: &[&Process]) -> bool {
    for process in members {
        let id = Pid::from_raw(process.id);
        // Errors mean that it is gone, or is not a child of ours.
        if process.is_zombie {
            let _ = waitpid(id, Some(WaitPidFlag::WNOHANG));
        } else {
            let _ = kill(id, Signal::SIGKILL);
        }
    }
    members.iter().any(|it| !it.is_zombie)
}

/// Looks at all programs once. Returns the processes that it has stopped.
fn look(shared: &Shared, ticks: u64) -> Vec<Pid> {
    let mut watched = lock(&shared.watched);
    let mut stopped = Vec::new();
    if watched.is_empty() {
        return stopped;
    }
    let all = processes();
    let page = rustix::param::page_size() as u64;
    for program in watched.values_mut() {
        let members = program.members(&all, program.above);
        let living = members.iter().filter(|it| !it.is_zombie).count();
        let memory = members.iter().map(|it| it.pages * page).sum::<u64>();
        let computed = members.iter().map(|it| it.computed).sum::<u64>();
        let (before, at) = program.computed;
        let passed = at.elapsed();
        if passed >= BUSY_PERIOD {
            #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
            let seconds = computed.saturating_sub(before) as f64 / ticks as f64;
            program.busy |= seconds / passed.as_secs_f64() > BUSY;
            program.computed = (computed, Instant::now());
        }
        let many = members.iter().filter(|it| it.is_running).count() >= RUNNING;
        program.running_looks = if many { program.running_looks + 1 } else { 0 };
        program.crowded |= program.running_looks >= RUNNING_LOOKS;
        if program.crowded {
            stopped.extend(stop(&members));
        } else if program.busy {
            lower_priority(&members);
        }
        let written = program.written();
        let reason = if living > MAX_PROCESSES {
            Some(format!("{living} processes; allowed are {MAX_PROCESSES}"))
        } else if memory > MAX_MEMORY {
            Some(format!("over {} MiB of memory", MAX_MEMORY / 1024 / 1024))
        } else if written > MAX_WRITTEN {
            Some(format!("over {} MiB of files", MAX_WRITTEN / 1024 / 1024))
        } else {
            None
        };
        if let Some(reason) = reason {
            kill_all(&members);
            program.ended.get_or_insert(format!("the program was ended: it had {reason}"));
        }
    }
    stopped
}

/// Stops the processes that compute or wait for a core. Returns them.
fn stop(members: &[&Process]) -> Vec<Pid> {
    let running = members.iter().filter(|it| it.is_running).map(|it| Pid::from_raw(it.id));
    // An error means that it is gone.
    running.filter(|process| kill(*process, Signal::SIGSTOP).is_ok()).collect()
}

/// Gives processes the lowest priority.
fn lower_priority(members: &[&Process]) {
    for process in members.iter().filter(|it| !it.is_zombie) {
        // An error means that it is gone, or that the system has no such priority.
        let _ = rustix::process::setpriority_process(
            rustix::process::Pid::from_raw(process.id),
            LOWEST,
        );
    }
}

impl Watched {
    /// The processes that are this far below the root, or further.
    fn members<'a>(&mut self, all: &'a [Process], above: usize) -> Vec<&'a Process> {
        let is_root = |it: &&Process| it.id == self.root && Some(it.start) == self.start;
        let root = all.iter().find(is_root).map(|it| (it.id, 0));
        let mut depths: BTreeMap<i32, usize> = root.into_iter().collect();
        // Orphans have another parent.
        for process in all.iter().filter(|it| self.known.contains(&(it.id, it.start))) {
            depths.entry(process.id).or_insert(usize::MAX / 2);
        }
        loop {
            let mut changed = false;
            for process in all {
                let Some(parent) = depths.get(&process.parent) else { continue };
                let depth = parent + 1;
                let known = depths.entry(process.id).or_insert(usize::MAX);
                if depth < *known {
                    *known = depth;
                    changed = true;
                }
            }
            if !changed {
                break;
            }
        }
        let own = nix::unistd::getpid().as_raw();
        let is_member =
            |it: &&Process| it.id != own && depths.get(&it.id).is_some_and(|depth| *depth >= above);
        let members: Vec<&Process> = all.iter().filter(is_member).collect();
        let below = |it: &&&Process| it.id != self.root;
        self.known.extend(members.iter().filter(below).map(|it| (it.id, it.start)));
        members
    }

    /// The bytes in the program's folder; 0 if they are not due, or not limited here.
    fn written(&mut self) -> u64 {
        let Some(folder) = &self.folder else { return 0 };
        if self.folder_at.elapsed() < FILES_PERIOD {
            return 0;
        }
        self.folder_at = Instant::now();
        size(folder, 0)
    }
}

/// The bytes of the files in a folder.
fn size(folder: &Path, depth: usize) -> u64 {
    const MAX_DEPTH: usize = 64;
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let size_of = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(data) if data.is_dir() && depth < MAX_DEPTH => size(&entry.path(), depth + 1),
        Ok(data) => std::os::unix::fs::MetadataExt::blocks(&data) * 512,
        Err(_) => 0,
    };
    entries.flatten().map(size_of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    /// Waits until something is true.
    fn until(what: &str, mut done: impl FnMut() -> bool) {
        let end = Instant::now() + Duration::from_secs(30);
        while !done() {
            assert!(Instant::now() < end, "not within 30 s: {what}");
            std::thread::sleep(POLL);
        }
    }

    #[test]
    fn the_lowest_priority_is_that_of_processes_only() {
        let mut sleeper = Command::new("sleep").arg("1000").process_group(0).spawn().unwrap();
        let id = i32::try_from(sleeper.id()).unwrap();
        let session = || std::fs::read_to_string("/proc/self/autogroup").ok();
        let before = session();
        let all = processes();
        lower_priority(&[all.iter().find(|it| it.id == id).unwrap()]);
        let process = rustix::process::Pid::from_raw(id);
        let priority = rustix::process::getpriority_process(process).unwrap();
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
        assert_eq!((priority, session()), (LOWEST, before));
    }

    #[test]
    fn processes_that_compute_run_a_part_of_the_time() {
        let watch = Watch::start().unwrap();
        let script = "for i in 1 2 3 4; do (while :; do :; done) & done; wait";
        let mut shell = Command::new("sh").args(["-c", script]).process_group(0).spawn().unwrap();
        let id = shell.id();
        watch.add(id, Kind::Limits, Path::new("/nonexistent"));
        let group = i32::try_from(id).unwrap();
        let members = || processes().into_iter().filter(move |it| it.group == group);
        let state = |id: i32| {
            let text = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            text.rsplit_once(") ").and_then(|(_, fields)| fields.chars().next())
        };
        until("all are stopped", || members().filter(|it| state(it.id) == Some('T')).count() == 4);
        let computed = || members().map(|it| it.computed).sum::<u64>();
        let before = computed();
        until("they run again", || computed() > before + 10);
        let notes = watch.end(id);
        // `end` has waited for it.
        let _ = shell.wait();
        assert_eq!(
            notes,
            ["the program had several processes that computed, and ran 40 ms of each 200"]
        );
        assert_eq!(members().filter(|it| !it.is_zombie).count(), 0);
    }
}
