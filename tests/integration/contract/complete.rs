//! That no hook and no host function is without a case: each is used, refused at a wrong stage, denied, over its budget and invalid,
//! as far as it can be. It reads what there is out of the ABI itself.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_abi::{ABSENT_NUMBER, Hook, status};

use super::case::{Case, Expect};
use super::cases;

/// What can become of each host function: **a**llowed, wrong **s**tage, **d**enied, over the **b**udget, **i**nvalid.
///
/// What reads can be denied nowhere, and what only answers has no stage. A metric beyond the budget counts in another series, which is
/// no status; a definition is the plugin's own, so there is nothing to deny. Writes of a size that is too much are over the budget.
const CASES: [(&str, &str); 49] = [
    ("config_read", "a"),
    ("refuse", ""),
    ("define_label_set", "asbi"),
    ("define_metric", "asbi"),
    ("tick_every", "asi"),
    ("metric_add", "asdi"),
    ("metric_set", "asdi"),
    ("metric_record", "asdi"),
    ("log_field_text", "asdbi"),
    ("log_field_int", "asdbi"),
    ("log_field_float", "asdbi"),
    ("log_field_bool", "asdbi"),
    ("log_line", "adbi"),
    ("span_start", "asdbi"),
    ("span_end", "ai"),
    ("span_attribute_text", "asdbi"),
    ("span_attribute_int", "asdbi"),
    ("span_attribute_float", "asdbi"),
    ("span_attribute_bool", "asdbi"),
    ("span_event", "asdbi"),
    ("span_status", "asdi"),
    ("header_read", "asi"),
    ("headers_read", "asi"),
    ("header_set", "asdbi"),
    ("header_add", "asdbi"),
    ("header_remove", "asdi"),
    ("text_read", "asi"),
    ("number_read", "ai"),
    ("correlation_set", "asdi"),
    ("reply", "asdbi"),
    ("state_read", "as"),
    ("state_write", "asb"),
    ("body_mode", "asdi"),
    ("body_read", "as"),
    ("body_replace", "asd"),
    ("body_append", "asd"),
    ("route_set", "asd"),
    ("upstream_set", "asd"),
    ("timeout_set", "asdi"),
    ("limit_key_set", "asdi"),
    ("store_get", "asdi"),
    ("store_set", "asdbi"),
    ("store_swap", "asdbi"),
    ("store_increment", "ai"),
    ("store_remove", "asdi"),
    ("sleep", "asbi"),
    ("call_out", "asdbi"),
    ("answer_status", "a"),
    ("answer_read", "ai"),
];

#[test]
fn every_host_function_has_its_cases() {
    let there: BTreeSet<_> = imports().into_iter().collect();
    let listed: BTreeSet<_> = CASES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(there, listed, "the ABI's host functions, and those that the suite knows");
    let covered = covered(&cases::all());
    let mut missing = Vec::new();
    for (name, kinds) in CASES {
        let has = covered.get(name).cloned().unwrap_or_default();
        for kind in kinds.chars().filter(|kind| !has.contains(kind)) {
            missing.push(format!("{name}: no case in which it is {}", what(kind)));
        }
        assert!(has.contains(&'u'), "{name} is never called");
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_hook_has_a_case_of_its_own_and_is_seen_from_outside() {
    let cases = cases::all();
    let own = |hook: &Hook| {
        cases.iter().any(|case| {
            // The matrix has all of them, and is about none.
            let hooks = case.script.entries.keys().filter(|entry| entry.hook() == *hook).count();
            hooks > 0 && case.script.entries.len() < 6 && !case.expected.is_empty()
        })
    };
    let missing: Vec<_> = Hook::ALL.into_iter().filter(|hook| !own(hook)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_promise_is_made_once() {
    let mut promises = BTreeSet::new();
    for case in cases::all() {
        assert!(promises.insert(case.promise.clone()), "{} is promised twice", case.promise);
        assert!(!case.expected.is_empty(), "{}: nothing is looked at", case.promise);
    }
}

/// The names in the ABI's list of host functions.
fn imports() -> Vec<String> {
    let source = std::fs::read_to_string(tidegate_tests::workspace().join("sdk/abi/src/lib.rs")).unwrap();
    let list = source.split("pub mod imports {").nth(1).unwrap();
    let values = list.lines().filter(|line| line.trim_start().starts_with("pub const "));
    values.map(|line| line.split('"').nth(1).unwrap().to_owned()).collect()
}

/// What is seen of each host function, by the letters of [`CASES`]; `u` where it is used at all.
fn covered(cases: &[Case]) -> BTreeMap<&'static str, BTreeSet<char>> {
    let mut covered: BTreeMap<&'static str, BTreeSet<char>> = BTreeMap::new();
    for case in cases {
        for step in case.script.entries.values().flat_map(|part| &part.steps) {
            let kinds = covered.entry(step.effect.trim_end_matches("_bytes")).or_default();
            kinds.insert('u');
            let Some(note) = &step.note else { continue };
            kinds.extend(case.expected.iter().filter_map(|expected| kind(expected, &note.name)));
        }
    }
    covered
}

fn kind(expected: &Expect, note: &str) -> Option<char> {
    let of_number = |number: i64| match i32::try_from(number) {
        Ok(status::STAGE) => 's',
        Ok(status::DENIED) => 'd',
        Ok(status::BUDGET) => 'b',
        Ok(status::INVALID) => 'i',
        _ if number == ABSENT_NUMBER => 'i',
        _ => 'a',
    };
    match expected {
        Expect::Note(name, number) if name == note => Some(of_number(*number)),
        Expect::Once(name, number) if *name == note => Some(of_number(*number)),
        Expect::Text(name, _) | Expect::TextHas(name, _) if name == note => Some('a'),
        Expect::Last(name, _) | Expect::Positive(name) if *name == note => Some('a'),
        _ => None,
    }
}

fn what(kind: char) -> &'static str {
    match kind {
        'a' => "allowed",
        's' => "called at a wrong stage",
        'd' => "denied",
        'b' => "over its budget",
        _ => "called with something invalid",
    }
}
