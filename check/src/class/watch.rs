// SPDX-License-Identifier: MIT OR Apache-2.0
//! Watches the programs of a class: what they take together of the machine. One that takes too much is
//! ended; one of which several processes compute gets the lowest priority, so that it disturbs others less.

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

/// So does a program that has this many processes that compute or wait for a core, at this many successive
/// checks: on a busy machine it gets a smaller share.
const RUNNING: usize = 3;
const RUNNING_LOOKS: usize = 5;

/// The time over which it is measured.
const BUSY_PERIOD: Duration = Duration::from_secs(1);

/// The lowest priority.
const LOWEST: i32 = 19;

/// The priority of its session, about a third of the share of others. With 19, processes of it got a processor every 16 s
/// on a busy machine: they took 7 s to end when they were killed, and kept what others wait for in the kernel.
const OF_SESSION: i32 = 5;

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
    /// Why the program was ended.
    ended: Option<String>,
}

#[derive(Debug, Default)]
struct Shared {
    watched: Mutex<BTreeMap<i32, Watched>>,
    end: Mutex<bool>,
    ending: Condvar,
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
                look(&of_thread, ticks);
                let end = lock(&of_thread.end);
                let waited = of_thread.ending.wait_timeout_while(end, PERIOD, |end| !*end);
                if *waited.unwrap_or_else(PoisonError::into_inner).0 {
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
        let busy = "the program had several processes that computed, and got the lowest priority";
        let busy = watched.busy.then(|| busy.to_owned());
        busy.into_iter().chain(watched.ended).collect()
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

/// Looks at all programs once.
fn look(shared: &Shared, ticks: u64) {
    let mut watched = lock(&shared.watched);
    if watched.is_empty() {
        return;
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
        program.busy |= program.running_looks >= RUNNING_LOOKS;
        if program.busy {
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
}

/// Gives processes the lowest priority, and their sessions a low one: Linux shares the processors among sessions first,
/// and the priority of a process counts in its own session only (sched(7), autogroup).
fn lower_priority(members: &[&Process]) {
    let own = nix::unistd::getsid(None).map_or(0, Pid::as_raw);
    let mut lowered = BTreeSet::from([own]);
    // Errors mean that a process is gone, or that the system has no such priority.
    for process in members.iter().filter(|it| !it.is_zombie) {
        let _ = rustix::process::setpriority_process(
            rustix::process::Pid::from_raw(process.id),
            LOWEST,
        );
        if lowered.insert(process.session) {
            let file = format!("/proc/{}/autogroup", process.id);
            let _ = std::fs::write(file, OF_SESSION.to_string());
        }
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

    #[test]
    fn a_session_gets_a_low_priority_too() {
        let mut leader = Command::new("setsid").args(["sleep", "1000"]).spawn().unwrap();
        let id = i32::try_from(leader.id()).unwrap();
        let end = Instant::now() + Duration::from_secs(20);
        let of = |id: i32| processes().into_iter().find(|it| it.id == id).unwrap();
        while of(id).session != id {
            assert!(Instant::now() < end, "no session");
            std::thread::sleep(POLL);
        }
        // One in the session of the grader.
        let mut other = Command::new("sleep").arg("1000").process_group(0).spawn().unwrap();
        let other_id = i32::try_from(other.id()).unwrap();
        let nice = |id: i32| {
            let id = rustix::process::Pid::from_raw(id);
            rustix::process::getpriority_process(id).unwrap()
        };
        let session = |id: &str| {
            let text = std::fs::read_to_string(format!("/proc/{id}/autogroup"));
            // A kernel without groups of sessions has no such file, and a container may hide it.
            text.map(|text| text.rsplit(' ').next().unwrap().trim_end().to_owned())
        };
        let before = session("self").ok();
        lower_priority(&[&of(id), &of(other_id)]);
        let (lowered, own) = (session(&id.to_string()).ok(), session("self").ok());
        let priorities = [nice(id), nice(other_id)];
        leader.kill().unwrap();
        other.kill().unwrap();
        let _ = (leader.wait(), other.wait());
        assert_eq!((priorities, &own), ([LOWEST; 2], &before));
        assert_eq!(lowered, before.map(|_| OF_SESSION.to_string()));
    }
}
