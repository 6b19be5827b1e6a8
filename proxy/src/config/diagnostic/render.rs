//! A diagnostic as people read it: message, place, the line, carets.
//! It chooses no words.

use std::fmt::{self, Write as _};

use super::{Diagnostic, Source};

/// More of a long line than this is not shown on either side of the place.
const AROUND: usize = 100;

/// Writes one diagnostic, with a line end.
pub(super) fn render(diagnostic: &Diagnostic, source: Option<&Source>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "{}: {}", diagnostic.severity.as_str(), diagnostic.message)?;
    let (Some(span), Some(source)) = (diagnostic.span, source) else {
        return match &diagnostic.help {
            Some(help) => writeln!(f, "  {help}"),
            None => Ok(()),
        };
    };
    let number = span.line.to_string();
    let gutter = number.len();
    let path = if diagnostic.path.is_empty() { String::new() } else { format!("   {}", diagnostic.path) };
    writeln!(f, "{:gutter$}--> {}:{}:{}{path}", "", source.file, span.line, span.column)?;
    writeln!(f, "{:gutter$} |", "")?;
    let line: Vec<char> = source.line(span.line).unwrap_or_default().chars().collect();
    let start = span.column.saturating_sub(1).min(line.len());
    let end = start.saturating_add(span.length).min(trimmed(&line)).max(start + 1);
    let from = start.saturating_sub(AROUND);
    let to = start.saturating_add(AROUND).min(line.len());
    let mut shown = String::new();
    let (mut before, mut under) = (0, 0);
    if from > 0 {
        shown.push('…');
        before += 1;
    }
    for (index, &character) in line.iter().enumerate().take(to).skip(from) {
        let width = push(&mut shown, character);
        if index < start {
            before += width;
        } else if index < end {
            under += width;
        }
    }
    if to < line.len() {
        shown.push('…');
    }
    writeln!(f, "{number} | {}", shown.trim_end())?;
    let help = diagnostic.help.as_deref().map_or_else(String::new, |help| format!(" {help}"));
    writeln!(f, "{:gutter$} | {:before$}{}{help}", "", "", "^".repeat(under.max(1)))
}

/// The length of a line without the blanks at its end.
fn trimmed(line: &[char]) -> usize {
    line.iter().rposition(|character| !character.is_whitespace()).map_or(0, |last| last + 1)
}

/// Shows a character so that its width is known, and gives the width: a tab as four blanks, a control character escaped.
fn push(shown: &mut String, character: char) -> usize {
    match character {
        '\t' => {
            shown.push_str("    ");
            4
        }
        control if control.is_control() => {
            let before = shown.len();
            let _ = write!(shown, "{}", control.escape_default());
            shown.len() - before
        }
        other => {
            shown.push(other);
            width(other)
        }
    }
}

/// How many columns of a terminal a character takes: two for the wide ones of East Asia and emoji, none for marks that combine.
fn width(character: char) -> usize {
    match u32::from(character) {
        0x0300..=0x036f | 0x200b..=0x200f | 0x2028..=0x202e | 0xfe00..=0xfe0f | 0xfeff => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe4f
        | 0xff00..=0xff60
        | 0x1f300..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}
