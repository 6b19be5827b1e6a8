//! Whole configurations: what comes out of good ones, what is said of bad ones.

use super::{Diagnostics, Loaded, parse};

fn read(text: &str) -> Result<Loaded, Diagnostics> {
    parse(text, "tidegate.yaml", &|_| None)
}

#[test]
fn ten_lines_are_enough() {
    let loaded = read(include_str!("tests/ten_lines.yaml")).unwrap_or_else(|faults| panic!("{faults}"));
    assert!(loaded.warnings.is_empty());
}

#[test]
fn everything_of_the_reference_example() {
    let loaded = read(include_str!("tests/full.yaml")).unwrap_or_else(|faults| panic!("{faults}"));
    assert!(loaded.warnings.is_empty());
}
