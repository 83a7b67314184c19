// SPDX-License-Identifier: MIT OR Apache-2.0
//! The processes of the system, as /proc lists them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// The most processes of a program whose times are read.
const MAX_TIMED: usize = 64;

/// A process of the system.
pub struct Process {
    pub id: i32,
    pub parent: i32,
    pub group: i32,
    pub session: i32,
    pub is_zombie: bool,
    /// Whether it runs, or waits for a core.
    pub is_running: bool,
    /// When it was started, in clock ticks.
    pub start: u64,
    /// The CPU time that it has used, in clock ticks.
    pub computed: u64,
    /// Its memory in pages.
    pub pages: u64,
}

/// The processes of the system.
pub fn processes() -> Vec<Process> {
    let Ok(folder) = std::fs::read_dir("/proc") else { return Vec::new() };
    let read = |entry: std::fs::DirEntry| {
        let id: i32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        // After the name, which is in parentheses: state, parent, group, session, and the start later on.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse().ok();
        let count = |at: usize| fields.get(at)?.parse::<u64>().ok();
        let is_zombie = matches!(fields.first(), Some(&("Z" | "X")));
        Some(Process {
            id,
            parent: number(1)?,
            group: number(2)?,
            session: number(3)?,
            is_zombie,
            is_running: fields.first() == Some(&"R"),
            start: count(19)?,
            computed: count(11)? + count(12)?,
            pages: count(21)?,
        })
    };
    folder.filter_map(|entry| read(entry.ok()?)).collect()
}

/// The time of processors that a program got, and the time that it had to wait for them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProcessorTime {
    /// The time that its threads have run.
    pub computed: Duration,
    /// The time that they could have run, and others did. Of each process, that of the thread that waited most.
    pub waited: Duration,
    /// The same, of all threads together.
    pub waited_by_all: Duration,
    /// Whether a thread is kept from going on by the system now, or runs.
    pub is_active: bool,
}

/// The times of a process and of those that it and its descendants have started and that still run. They are zero
/// where the kernel does not count them.
pub fn processor_time(id: u32) -> ProcessorTime {
    let mut times = ProcessorTime::default();
    let (mut seen, mut next) = (BTreeSet::from([id]), vec![id]);
    while let Some(id) = next.pop() {
        let mut longest = Duration::ZERO;
        for thread in threads(id) {
            let read = |name: &str| std::fs::read_to_string(thread.join(name)).unwrap_or_default();
            let (computed, waited) = schedule(&read("schedstat")).unwrap_or_default();
            times.computed += computed;
            times.waited_by_all += waited;
            times.is_active |= is_active(&read("stat"));
            longest = longest.max(waited);
            let children = read("children");
            let children = children.split_ascii_whitespace().filter_map(|it| it.parse().ok());
            next.extend(children.filter(|child| seen.len() < MAX_TIMED && seen.insert(*child)));
        }
        times.waited += longest;
    }
    times
}

/// The folders of a process's threads.
fn threads(id: u32) -> impl Iterator<Item = PathBuf> {
    let folder = std::fs::read_dir(format!("/proc/{id}/task")).into_iter();
    folder.flatten().filter_map(|entry| Some(entry.ok()?.path()))
}

/// The times that a thread has computed and waited, from the text of its `schedstat` in nanoseconds
/// (Documentation/scheduler/sched-stats.rst of Linux).
fn schedule(text: &str) -> Option<(Duration, Duration)> {
    let mut fields = text.split_ascii_whitespace().map(|it| it.parse().map(Duration::from_nanos));
    Some((fields.next()?.ok()?, fields.next()?.ok()?))
}

/// Whether a thread runs, waits for a processor, or waits in the kernel and cannot be interrupted (for a disk, or for
/// what another program holds), from the text of its `stat` (proc(5)): the state is after the name, which is in
/// parentheses.
fn is_active(stat: &str) -> bool {
    let state = stat.rsplit_once(')').map(|(_, fields)| fields.trim_ascii_start());
    state.is_some_and(|state| state.starts_with(['R', 'D']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;
    use std::time::Instant;

    #[test]
    fn schedstat_has_nanoseconds() {
        let rows = [
            ("34483180 2637561064 90\n", Some((34, 2637))),
            ("0 0 0", Some((0, 0))),
            ("1", None),
            ("-1 1 1", None),
            ("", None),
        ];
        for (text, want) in rows {
            let got =
                schedule(text).map(|(computed, waited)| (computed.as_millis(), waited.as_millis()));
            assert_eq!(got, want, "{text:?}");
        }
    }

    #[test]
    fn the_state_is_after_the_name() {
        let rows = [
            ("4 (python3) R 1 4 4", true),
            ("4 (a) R) S 1 4 4", false),
            ("4 (R) S 1 4 4", false),
            ("4 (python3) D 1 4 4", true),
            ("4 (D) Z 1 4 4", false),
            ("4 (a) RR 1 4 4", true),
            ("4", false),
            ("", false),
        ];
        for (text, want) in rows {
            assert_eq!(is_active(text), want, "{text:?}");
        }
    }

    #[test]
    fn the_times_are_those_of_a_program_and_its_children() {
        // More of them than processors: some wait.
        let count = 2 * std::thread::available_parallelism().map_or(1, usize::from);
        let script = format!("for i in $(seq {count}); do (while :; do :; done) & done; wait");
        let mut shell = Command::new("sh").args(["-c", &script]).spawn().unwrap();
        let end = Instant::now() + Duration::from_secs(30);
        let enough = |it: ProcessorTime| it.computed.min(it.waited) >= Duration::from_millis(200);
        let mut times = ProcessorTime::default();
        while !enough(times) && Instant::now() < end {
            times = processor_time(shell.id());
        }
        for thread in threads(shell.id()) {
            let children = std::fs::read_to_string(thread.join("children")).unwrap();
            Command::new("kill").args(children.split_ascii_whitespace()).status().unwrap();
        }
        shell.wait().unwrap();
        assert!(enough(times) && times.is_active, "{times:?}");
        assert!(times.waited_by_all >= times.waited, "{times:?}");
        assert_eq!(processor_time(shell.id()), ProcessorTime::default());
    }
}
