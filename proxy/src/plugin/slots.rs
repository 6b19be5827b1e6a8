//! Numbers for the exchanges that one instance serves, small and used again, and what the host keeps for each.
//! It knows nothing of the exchange.

use tidegate_abi::Hook;

use super::contract::{Slot, Ticket};
use super::state::Usage;

/// The slots of one instance.
#[derive(Debug, Default)]
pub(super) struct Slots {
    all: Vec<Kept>,
    free: Vec<u32>,
}

/// What is kept for an exchange.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kept {
    pub usage: Usage,
    /// Which of the instances in a row has seen the exchange; 0 is none.
    pub seen_by: u32,
    /// The hook that waits, and for what.
    pub pending: Option<(Hook, Ticket)>,
}

// === impl Slots ===

impl Slots {
    /// A slot for a new exchange.
    pub fn open(&mut self) -> Slot {
        if let Some(free) = self.free.pop() {
            return Slot(free);
        }
        self.all.push(Kept::default());
        Slot(u32::try_from(self.all.len() - 1).unwrap_or(u32::MAX))
    }

    /// What is kept for the exchange. A slot that was never opened has nothing.
    pub fn get(&self, slot: Slot) -> Kept {
        self.all.get(slot.0 as usize).copied().unwrap_or_default()
    }

    pub fn set(&mut self, slot: Slot, kept: Kept) {
        if let Some(place) = self.all.get_mut(slot.0 as usize) {
            *place = kept;
        }
    }

    /// The exchange is over. Returns what was kept for it.
    pub fn close(&mut self, slot: Slot) -> Kept {
        let kept = self.get(slot);
        self.set(slot, Kept::default());
        self.free.push(slot.0);
        kept
    }
}
