//! The cases of the contract, by what they are about.
//! They know no adapter: all of it is data.

use tidegate_abi::status;

pub(super) mod around;
pub(super) mod bodies;
pub(super) mod definitions;
pub(super) mod heads;
pub(super) mod routing;
pub(super) mod store;
pub(super) mod telemetry;
pub(super) mod waiting;

use super::case::Case;
use super::matrix;

const ABSENT: i64 = status::ABSENT as i64;
const BUDGET: i64 = status::BUDGET as i64;
const INVALID: i64 = status::INVALID as i64;
const STAGE: i64 = status::STAGE as i64;
const DENIED: i64 = status::DENIED as i64;
const CONFLICT: i64 = status::CONFLICT as i64;
const FAILED: i64 = status::FAILED as i64;

/// All of them.
pub(super) fn all() -> Vec<Case> {
    [
        around::cases(),
        bodies::cases(),
        definitions::cases(),
        heads::cases(),
        matrix::cases(),
        routing::cases(),
        store::cases(),
        telemetry::cases(),
        waiting::cases(),
    ]
    .concat()
}
