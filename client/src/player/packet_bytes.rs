// SPDX-License-Identifier: MIT OR Apache-2.0
//! The bytes of the last packets, in a limited memory.

use std::collections::VecDeque;
use std::sync::Arc;

/// Bytes that are kept, in chunks.
pub(super) const CHUNK: usize = 1 << 20;
pub(super) const MAX_CHUNKS: usize = 64;

/// Where the bytes of a packet are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    chunk: u64,
    start: u32,
    len: u32,
}

/// Bytes of packets, oldest first.
#[derive(Debug, Default, Clone)]
pub(super) struct PacketBytes {
    chunks: VecDeque<Arc<Vec<u8>>>,
    /// Chunks that were removed.
    removed: u64,
}

impl PacketBytes {
    /// Copies a packet. Memory is allocated once for each chunk, and used again later.
    pub fn push(&mut self, packet: &[u8]) -> Slot {
        let fits = |chunk: &mut Arc<Vec<u8>>| {
            Arc::get_mut(chunk).is_some_and(|it| it.len() + packet.len() <= it.capacity())
        };
        if !self.chunks.back_mut().is_some_and(fits) {
            let oldest =
                if self.chunks.len() < MAX_CHUNKS { None } else { self.chunks.pop_front() };
            self.removed += u64::from(oldest.is_some());
            // A copy of the log may hold the oldest one.
            let free = oldest.and_then(|chunk| Arc::try_unwrap(chunk).ok());
            let mut free = free.unwrap_or_else(|| Vec::with_capacity(CHUNK));
            free.clear();
            self.chunks.push_back(Arc::new(free));
        }
        let mut slot =
            Slot { chunk: self.removed + self.chunks.len() as u64 - 1, start: 0, len: 0 };
        if let Some(chunk) = self.chunks.back_mut().and_then(Arc::get_mut) {
            // A chunk is far below 4 GiB.
            slot.start = u32::try_from(chunk.len()).unwrap_or(u32::MAX);
            slot.len = u32::try_from(packet.len()).unwrap_or(u32::MAX);
            chunk.extend_from_slice(packet);
        }
        slot
    }

    pub fn get(&self, slot: Slot) -> Option<&[u8]> {
        let index = usize::try_from(slot.chunk.checked_sub(self.removed)?).ok()?;
        let start = slot.start as usize;
        self.chunks.get(index)?.get(start..start + slot.len as usize)
    }
}
