//! Which endpoint gets the next request; one worker's view, so nothing is shared.
//! It does not know whether an endpoint works.

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::num::NonZeroU32;

use super::config::Balance;

/// Up to here least requests looks at every endpoint, beyond at two by chance, which is nearly as good.
const FULL_SCAN: usize = 16;

/// Picks endpoints of one upstream, for one worker.
///
/// In-flight requests are this worker's own: connections spread over workers evenly, so each sees a fair sample.
#[derive(Debug)]
pub struct Balancer {
    balance: Balance,
    weights: Vec<i64>,
    total: i64,
    /// For round robin: what each endpoint is owed.
    credit: RefCell<Vec<i64>>,
    /// For least requests: where the next search begins, so that equals take turns.
    next: Cell<usize>,
    seed: Cell<u64>,
}

// === impl Balancer ===

impl Balancer {
    /// For endpoints with these weights.
    pub fn new(balance: Balance, weights: impl IntoIterator<Item = NonZeroU32>, seed: u64) -> Self {
        let weights: Vec<i64> = weights.into_iter().map(|weight| i64::from(weight.get())).collect();
        Self {
            balance,
            total: weights.iter().sum(),
            credit: RefCell::new(vec![0; weights.len()]),
            weights,
            next: Cell::new(0),
            // Xorshift never leaves zero.
            seed: Cell::new(seed | 1),
        }
    }

    /// The next endpoint; not `avoid` where there is another. `None` where there is none at all.
    pub fn pick(&self, in_flight: impl Fn(usize) -> usize, avoid: Option<usize>) -> Option<usize> {
        match self.weights.len() {
            0 => None,
            1 => Some(0),
            count => match self.balance {
                Balance::RoundRobin => self.round_robin(avoid),
                Balance::LeastRequests if count <= FULL_SCAN => self.least(0..count, &in_flight, avoid),
                Balance::LeastRequests => {
                    let two = [self.random(count), self.random(count)];
                    self.least(two.into_iter(), &in_flight, avoid).or_else(|| self.least(0..count, &in_flight, avoid))
                }
            },
        }
    }

    /// Smooth weighted round robin: each turn every endpoint earns its weight, the richest is picked and pays for all.
    fn round_robin(&self, avoid: Option<usize>) -> Option<usize> {
        let mut credit = self.credit.borrow_mut();
        for (credit, weight) in credit.iter_mut().zip(&self.weights) {
            *credit += weight;
        }
        let mut best: Option<(usize, i64)> = None;
        for (position, credit) in credit.iter().copied().enumerate() {
            if Some(position) != avoid && best.is_none_or(|(_, most)| credit > most) {
                best = Some((position, credit));
            }
        }
        let (position, _) = best?;
        *credit.get_mut(position)? -= self.total;
        Some(position)
    }

    /// The least `(in flight + 1) / weight`, compared without dividing.
    fn least(
        &self,
        candidates: impl Iterator<Item = usize>,
        in_flight: &impl Fn(usize) -> usize,
        avoid: Option<usize>,
    ) -> Option<usize> {
        let count = self.weights.len();
        let start = self.next.get();
        self.next.set((start + 1) % count);
        let mut best: Option<(usize, i128, i128)> = None;
        for candidate in candidates {
            let position = (candidate + start) % count;
            if Some(position) == avoid {
                continue;
            }
            let load = in_flight(position) as i128 + 1;
            let weight = i128::from(self.weights.get(position).copied().unwrap_or(1));
            if best.is_none_or(|(_, least, of)| load * of < least * weight) {
                best = Some((position, load, weight));
            }
        }
        best.map(|(position, _, _)| position)
    }

    fn random(&self, below: usize) -> usize {
        let mut seed = self.seed.get();
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        self.seed.set(seed);
        usize::try_from(seed % below as u64).unwrap_or(0)
    }
}
