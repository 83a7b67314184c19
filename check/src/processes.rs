// SPDX-License-Identifier: MIT OR Apache-2.0
//! The processes of the system, as /proc lists them.

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
