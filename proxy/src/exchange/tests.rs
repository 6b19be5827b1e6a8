//! What every exchange costs, whatever it does.
//! It runs none.

use super::{Exchange, run};

/// The size of what a function of two arguments returns.
fn size<A, B, R>(_: impl Fn(A, B) -> R) -> usize {
    size_of::<R>()
}

#[test]
fn hooks_that_wait_make_no_room_in_exchanges_that_do_not() {
    // What they were before any hook could wait: each has one of these while it is under way.
    let (future, exchange) = (size(run), size_of::<Exchange>());
    assert!(future <= 5688 && exchange <= 328, "{future} {exchange}");
}
