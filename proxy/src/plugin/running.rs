//! What runs of a plugin on one worker: one instance for all slots, or one for each.
//! It starts none and calls none.

use super::config::Isolation;
use super::contract::Slot;
use super::live::Live;
use super::slots::Kept;

pub(super) enum Running {
    /// For all slots; absent after a fault, until the next use.
    Shared(Option<Box<Live>>),
    /// By slot; absent before its first use, and after a fault.
    Each(Vec<Option<Box<Live>>>),
}

impl Running {
    pub const fn new(isolation: Isolation) -> Self {
        match isolation {
            Isolation::Worker => Self::Shared(None),
            Isolation::Exchange => Self::Each(Vec::new()),
        }
    }

    /// The instance for this slot.
    pub fn get(&mut self, slot: Slot) -> Option<&mut Live> {
        match self {
            Self::Shared(live) => live.as_deref_mut(),
            Self::Each(all) => all.get_mut(slot.0 as usize)?.as_deref_mut(),
        }
    }

    /// Whether there is one for this slot.
    pub fn has(&self, slot: Slot) -> bool {
        match self {
            Self::Shared(live) => live.is_some(),
            Self::Each(all) => all.get(slot.0 as usize).is_some_and(Option::is_some),
        }
    }

    /// Whether the instance of this slot is still the one that saw it last; `life` counts the shared ones.
    pub fn knows(&self, slot: Slot, kept: &Kept, life: u32) -> bool {
        self.has(slot) && kept.seen_by != 0 && (matches!(self, Self::Each(_)) || kept.seen_by == life)
    }

    pub fn put(&mut self, slot: Slot, fresh: Live) {
        match self {
            Self::Shared(live) => *live = Some(Box::new(fresh)),
            Self::Each(all) => {
                let at = slot.0 as usize;
                if all.len() <= at {
                    all.resize_with(at + 1, || None);
                }
                if let Some(place) = all.get_mut(at) {
                    *place = Some(Box::new(fresh));
                }
            }
        }
    }

    /// Throws the instance of this slot away. Returns the bytes of memory that it had, where there was one.
    pub fn discard(&mut self, slot: Slot) -> Option<usize> {
        let live = match self {
            Self::Shared(live) => live.take(),
            Self::Each(all) => all.get_mut(slot.0 as usize)?.take(),
        };
        live.map(|live| live.store.data().limits.bytes)
    }

    /// Whether slots share the instance.
    pub const fn is_shared(&self) -> bool {
        matches!(self, Self::Shared(_))
    }
}
