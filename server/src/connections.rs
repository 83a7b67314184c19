// SPDX-License-Identifier: MIT OR Apache-2.0
//! How many connections are open. A lab client connects when its window opens and is silent until
//! a person presses Setup, so silent ones stay; at the limit the oldest of them makes room.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::task::AbortHandle;

#[derive(Debug, Default)]
struct State {
    open: usize,
    /// By their numbers, so by age.
    silent: BTreeMap<u64, AbortHandle>,
    next: u64,
}

/// The open connections of a server.
#[derive(Debug, Clone)]
pub struct Connections {
    limit: usize,
    state: Arc<Mutex<State>>,
}

impl Connections {
    /// So many at the most.
    pub fn new(limit: usize) -> Self {
        Self { limit, state: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a connection and starts its task, which is silent until it says otherwise; `None`
    /// if there is no room, and no silent one to make it.
    pub fn admit(&self, start: impl FnOnce(Open) -> AbortHandle) -> Option<()> {
        // Held until the task is in the list, so that it cannot leave it before.
        let mut state = self.state();
        if state.open >= self.limit {
            let (_, oldest) = state.silent.pop_first()?;
            oldest.abort();
        }
        state.open += 1;
        let number = state.next;
        state.next += 1;
        let task = start(Open { connections: self.clone(), number });
        state.silent.insert(number, task);
        Some(())
    }
}

/// One connection; dropped with it.
#[derive(Debug)]
pub struct Open {
    connections: Connections,
    number: u64,
}

impl Open {
    /// It has said something.
    pub fn has_spoken(&self) {
        self.connections.state().silent.remove(&self.number);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut state = self.connections.state();
        state.silent.remove(&self.number);
        state.open = state.open.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_silent_one_makes_room() -> Result<(), std::io::Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let connections = Connections::new(2);
        let mut opened = Vec::new();
        let mut tasks = Vec::new();
        let mut admit = || {
            connections.admit(|open| {
                opened.push(open);
                let task = runtime.spawn(std::future::pending::<()>());
                let handle = task.abort_handle();
                tasks.push(task);
                handle
            })
        };
        assert!(admit().is_some() && admit().is_some());
        // The first is silent and makes room for a third; its place is free when it is dropped.
        assert!(admit().is_some());
        for open in &opened {
            open.has_spoken();
        }
        assert_eq!(
            connections.admit(|_| runtime.spawn(async {}).abort_handle()),
            None,
            "nobody is silent"
        );
        runtime.block_on(tokio::task::yield_now());
        let ended: Vec<bool> = tasks.iter().map(tokio::task::JoinHandle::is_finished).collect();
        assert_eq!(ended, [true, false, false]);
        opened.clear();
        assert_eq!(connections.state().open, 0);
        Ok(())
    }
}
