//! Numbers for what one plugin is called for on a worker, small and used again, and what the host keeps for each.
//! It knows neither exchanges nor connections.

use std::task::Waker;

use tidegate_abi::{Body, Hook};

use super::contract::{BodyWish, LocalReply, Operation, Orders, Slot, Ticket};
use super::counted::Counted;

/// The slots of one plugin on one worker.
#[derive(Debug, Default)]
pub(super) struct Slots {
    /// Boxed, so that a call swaps a pointer and moves nothing.
    #[expect(clippy::vec_box, reason = "they are swapped with the one in an instance")]
    all: Vec<Box<Kept>>,
    free: Vec<u32>,
}

/// What is kept for an exchange, a connection, a tick or an event.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub usage: Usage,
    /// Which of the instances in a row has seen it; 0 is none.
    pub seen_by: u32,
    /// The hook that waits.
    pub waiting: Option<Hook>,
    /// Whom to wake when the instance that it waits in is lost; only while one waits.
    pub waker: Option<Waker>,
    /// What the hook that runs or waits has started, and what is not answered yet.
    pub tickets: Vec<Started>,
    /// What of that nobody has begun to carry out.
    pub operations: Vec<Operation>,
    /// What [`Verdict::Reply`](tidegate_abi::Verdict::Reply) would send.
    pub reply: Option<Box<LocalReply>>,
    pub orders: Option<Box<Orders>>,
    /// How the bodies are wished in this exchange, where that is not as configured.
    wishes: [Option<BodyWish>; 2],
}

/// What a plugin already used of its budget for one exchange.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    pub fields: usize,
    pub spans: usize,
    pub attributes: u16,
    pub events: u16,
}

/// Something that is under way for a hook.
#[derive(Clone, Copy, Debug)]
pub(super) struct Started {
    pub ticket: Ticket,
    pub is_call_out: bool,
}

// === impl Slots ===

impl Slots {
    /// A slot for something new.
    pub fn open(&mut self) -> Slot {
        if let Some(free) = self.free.pop() {
            return Slot(free);
        }
        self.all.push(Box::default());
        Slot(u32::try_from(self.all.len() - 1).unwrap_or(u32::MAX))
    }

    /// What is kept for the slot. There is nothing for one that was never opened.
    pub fn get(&self, slot: Slot) -> Option<&Kept> {
        self.all.get(slot.0 as usize).map(|kept| &**kept)
    }

    pub fn get_mut(&mut self, slot: Slot) -> Option<&mut Box<Kept>> {
        self.all.get_mut(slot.0 as usize)
    }

    /// The instance with this number is lost: wakes whoever waits in it. Returns how many they are.
    pub fn lose(&mut self, life: u32) -> usize {
        let waiting = self.all.iter_mut().filter(|kept| kept.waiting.is_some() && kept.seen_by == life);
        waiting.map(|kept| kept.waker.take().into_iter().for_each(Waker::wake)).count()
    }

    /// Its time is over.
    pub fn close(&mut self, slot: Slot) {
        if let Some(kept) = self.all.get_mut(slot.0 as usize) {
            **kept = Kept::default();
            self.free.push(slot.0);
        }
    }
}

// === impl Kept ===

impl Kept {
    /// A hook is about to be called, or cannot be. One that waits is given up, and nothing stands of what was staged.
    #[inline]
    pub fn begin(&mut self, counted: &mut Counted) {
        self.end(counted);
        (self.reply, self.orders) = (None, None);
    }

    /// The hook has come to an end. What it has started and is not answered is given up; nobody waits for it any more.
    #[inline]
    pub fn end(&mut self, counted: &mut Counted) {
        // Most hooks start nothing.
        if self.waiting.is_some() || !self.tickets.is_empty() {
            self.give_up(counted);
        }
    }

    fn give_up(&mut self, counted: &mut Counted) {
        self.tickets.drain(..).for_each(|started| started.over(counted));
        self.operations.clear();
        (self.waiting, self.waker) = (None, None);
    }

    /// One of them is answered. Returns whether anybody has waited for it.
    pub fn answered(&mut self, ticket: Ticket, counted: &mut Counted) -> bool {
        let Some(position) = self.tickets.iter().position(|started| started.ticket == ticket) else { return false };
        self.tickets.swap_remove(position).over(counted);
        true
    }

    /// How the plugin wants this body in this exchange, where it has said so.
    pub fn wish(&self, body: Body) -> Option<BodyWish> {
        self.wishes.get(body as usize).copied().flatten()
    }

    pub fn set_wish(&mut self, body: Body, wish: BodyWish) {
        if let Some(place) = self.wishes.get_mut(body as usize) {
            *place = Some(wish);
        }
    }
}

// === impl Started ===

impl Started {
    fn over(self, counted: &mut Counted) {
        let count = if self.is_call_out { &mut counted.call_outs } else { &mut counted.sleeps };
        *count = count.saturating_sub(1);
    }
}
