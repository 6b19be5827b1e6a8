//! The key-value store: values with and without an end, compare and swap, numbers, and its bounds.
//! It knows nothing of where it is kept.

use tidegate_abi::{ABSENT_NUMBER, Hook, limits};

use super::{ABSENT, BUDGET, CONFLICT, INVALID};
use crate::contract::case::{Case, Expect, case, get};
use crate::contract::script::{Value, act};

pub(in crate::contract) fn cases() -> Vec<Case> {
    vec![
        case("a value that is set is there, until it is removed")
            .at(
                Hook::RequestHead,
                [
                    act!(store_get: "user").note("before"),
                    act!(store_set: "user", "ada", 0).note("set"),
                    act!(store_get: "user").text("get"),
                    act!(store_remove: "user").note("remove"),
                    act!(store_remove: "user").note("remove again"),
                    act!(store_get: "user").note("after"),
                ],
            )
            .send(get("/"))
            .notes("before", ABSENT)
            .notes("set", 0)
            .reads("get", "ada")
            .notes("remove", 0)
            .notes("remove again", ABSENT)
            .notes("after", ABSENT),
        case("what one exchange stores the next one reads, in every hook")
            .at(Hook::RequestHead, [act!(store_get: "user").text("get")])
            .at(Hook::Log, [act!(store_set: "user", "ada", 60_000).note("set")])
            .send(get("/"))
            .send(get("/"))
            .notes("set", 0)
            .expect([Expect::Last("get", "ada")]),
        case("a value with an end is gone after it")
            .at(Hook::RequestHead, [act!(store_set: "user", "ada", 10).note("set"), act!(sleep: 50)])
            .resumed(Hook::RequestHead, [act!(store_get: "user").note("later")])
            .send(get("/"))
            .notes("set", 0)
            .notes("later", ABSENT),
        case("a value is swapped where it is what the plugin thinks it is")
            .at(
                Hook::RequestHead,
                [
                    act!(store_swap: "leader", "b", "a", 0).note("not there"),
                    act!(store_swap: "leader", Value::Absent, "a", 0).note("first"),
                    act!(store_swap: "leader", Value::Absent, "b", 0).note("second"),
                    act!(store_swap: "leader", "a", "b", 0).note("swap"),
                    act!(store_get: "leader").text("now"),
                ],
            )
            .send(get("/"))
            .notes("not there", CONFLICT)
            .notes("first", 0)
            .notes("second", CONFLICT)
            .notes("swap", 0)
            .reads("now", "b"),
        case("numbers are counted, from 0 where there is none")
            .at(
                Hook::RequestHead,
                [
                    act!(store_increment: "hits", 5, 0).note("first"),
                    act!(store_increment: "hits", -2, 0).note("second"),
                    act!(store_get: "hits").text("read"),
                    act!(store_set: "text", "a", 0),
                    act!(store_increment: "text", 1, 0).note("no number"),
                ],
            )
            .send(get("/"))
            .notes("first", 5)
            .notes("second", 3)
            .reads("read", "\u{3}\0\0\0\0\0\0\0")
            .notes("no number", ABSENT_NUMBER),
        case("keys and values that are too long, and ends that are none, are invalid")
            .plugin("budget: { key_value: 8MiB }")
            .at(
                Hook::RequestHead,
                [
                    act!(store_set: Value::Long(limits::STORE_KEY + 1), "a", 0).note("long key"),
                    act!(store_set: "a", Value::Long(limits::STORE_VALUE + 1), 0).note("long value"),
                    act!(store_set: "a", "a", -1).note("no end"),
                    act!(store_swap: "a", Value::Absent, "a", -1).note("swap without an end"),
                    act!(store_increment: "a", 1, -1).note("count without an end"),
                    act!(store_get: Value::Long(limits::STORE_KEY + 1)).note("read of a long key"),
                    act!(store_remove: Value::Long(limits::STORE_KEY + 1)).note("remove of a long key"),
                ],
            )
            .send(get("/"))
            .expect(
                [
                    "long key",
                    "long value",
                    "no end",
                    "swap without an end",
                    "read of a long key",
                    "remove of a long key",
                ]
                .map(|note| Expect::Note(note.to_owned(), INVALID)),
            )
            .notes("count without an end", ABSENT_NUMBER),
        case("what is beyond the budget is not stored, and counted")
            .plugin("budget: { key_value: 1KiB }")
            .at(
                Hook::RequestHead,
                [
                    act!(store_set: "a", Value::Long(900), 0).note("fits"),
                    act!(store_set: "b", Value::Long(900), 0).note("set"),
                    act!(store_swap: "b", Value::Absent, Value::Long(900), 0).note("swap"),
                    act!(store_get: "b").note("not there"),
                    act!(store_remove: "a").note("room"),
                    act!(store_set: "b", Value::Long(900), 0).note("fits now"),
                    act!(store_increment: "number of a long name for the few bytes that are left", 1, 0).note("count"),
                ],
            )
            .send(get("/"))
            .notes("fits", 0)
            .notes("set", BUDGET)
            .notes("swap", BUDGET)
            .notes("not there", ABSENT)
            .notes("room", 0)
            .notes("fits now", 0)
            .notes("count", ABSENT_NUMBER)
            .expect([Expect::Dropped("store", "budget", 3)]),
    ]
}
