//! Draws the live view: over itself on a terminal, as plain lines elsewhere.
//! It does not know what the lines say.

use std::env;
use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use terminal_size::{Height, Width, terminal_size};

use super::observed::Observed;
use super::{Exit, frame, print};

/// Between two pictures on a terminal: at most ten a second.
const REDRAW: Duration = Duration::from_millis(100);
/// Between two plain lines.
const LINE: Duration = Duration::from_secs(2);
/// After so many plain lines the latest trace and log line come too.
const WHOLE: u32 = 5;
/// What stands between the figures of a line.
const GAP: &str = "    ";
/// What a line begins with that goes on with the one before.
const INDENT: &str = "             ";

/// Where the live view goes.
#[derive(Debug)]
pub(super) struct Screen {
    terminal: bool,
    header: Vec<String>,
    drawn: Instant,
    /// Lines of the last picture, or plain pictures so far.
    count: u32,
    /// The reader is still there.
    open: bool,
}

// === impl Screen ===

impl Screen {
    /// Shows the header.
    pub(super) fn new(header: Vec<String>) -> Self {
        let terminal = io::stdout().is_terminal() && env::var_os("TERM").is_none_or(|term| term != "dumb");
        let mut screen = Self { terminal, header, drawn: Instant::now(), count: 0, open: true };
        if terminal {
            // Without a cursor that jumps about.
            screen.write("\x1b[?25l");
        } else {
            let header = screen.header.join("\n");
            screen.write(&format!("{header}\n"));
        }
        screen
    }

    /// Shows what has arrived, if it is time to.
    pub(super) fn draw(&mut self, observed: &Observed) {
        let pause = if self.terminal { REDRAW } else { LINE };
        // Ticks are not exact; half of one early is on time.
        if self.drawn.elapsed() + REDRAW / 2 < pause {
            return;
        }
        self.drawn = Instant::now();
        if self.terminal {
            self.redraw(observed);
            return;
        }
        self.count += 1;
        let mut lines = frame::figures(observed);
        if self.count.is_multiple_of(WHOLE) {
            lines.extend(frame::latest(observed, false));
        }
        self.write(&plain(&lines));
    }

    /// Shows all that has arrived, for the last time.
    pub(super) fn finish(&mut self, observed: &Observed) {
        if self.terminal {
            self.redraw(observed);
        } else {
            self.write(&plain(&[frame::figures(observed), frame::latest(observed, false)].concat()));
        }
    }

    /// Adds lines below the picture; `false` where something could not be written.
    pub(super) fn say(&mut self, lines: &[String]) -> bool {
        self.write(&format!("\n{}", plain(lines)));
        self.open
    }

    fn redraw(&mut self, observed: &Observed) {
        let (width, height) = terminal_size().map_or((80, 24), |(Width(width), Height(height))| (width, height));
        let width = usize::from(width);
        let whole = self.header.iter().cloned().chain(frame::figures(observed));
        let mut lines: Vec<_> = whole.flat_map(|line| fold(&line, width)).collect();
        lines.extend(frame::latest(observed, true));
        // What is higher than the screen cannot be drawn over.
        lines.truncate(usize::from(height).saturating_sub(1).max(1));
        self.write(&picture(&lines, width, self.count));
        self.count = u32::try_from(lines.len()).unwrap_or_default();
    }

    fn write(&mut self, text: &str) {
        self.open &= print::out(text) == Exit::Success;
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.terminal {
            self.write("\x1b[?25h");
        }
    }
}

/// Lines over those of the picture before.
fn picture(lines: &[String], width: usize, before: u32) -> String {
    let mut text = String::new();
    if before > 0 {
        text.push_str(&format!("\r\x1b[{before}A"));
    }
    for line in lines {
        text.push_str(&fit(line, width));
        // Clears the rest of the line, so that nothing flickers.
        text.push_str("\x1b[K\n");
    }
    text.push_str("\x1b[J");
    text
}

fn plain(lines: &[String]) -> String {
    lines.iter().map(|line| printable(line) + "\n").collect()
}

/// Goes on in the next line where a gap is, if the screen is not wide enough.
fn fold(line: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for (number, cell) in line.split(GAP).enumerate() {
        let Some(last) = lines.last_mut() else { break };
        if number == 0 {
            last.push_str(cell);
        } else if last.chars().count() + GAP.len() + cell.chars().count() <= width {
            last.push_str(GAP);
            last.push_str(cell);
        } else {
            lines.push(format!("{INDENT}{}", cell.trim_start()));
        }
    }
    lines
}

/// As much of a line as the screen is wide; every character here is one column.
fn fit(line: &str, width: usize) -> String {
    let line = printable(line);
    if line.chars().count() <= width {
        return line;
    }
    line.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Anyone may send a request to the demo, so what it shows must not steer the terminal.
fn printable(line: &str) -> String {
    line.chars().map(|letter| if letter.is_control() { '·' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_go_on_below_where_the_screen_is_narrow() {
        let line = "  requests   1/s    5xx 0 %    breaker closed";
        assert_eq!(fold(line, 80), [line]);
        assert_eq!(fold(line, 30), ["  requests   1/s    5xx 0 %", "             breaker closed"]);
    }

    #[test]
    fn long_lines_are_cut_to_the_screen() {
        assert_eq!(fit("├─ classify", 20), "├─ classify");
        assert_eq!(fit("├─ classify", 6), "├─ cl…");
    }

    #[test]
    fn what_is_shown_cannot_steer_the_terminal() {
        assert_eq!(fit("a\x1b[2Jb\u{9b}c", 80), "a·[2Jb·c");
    }

    #[test]
    fn a_picture_goes_over_the_one_before() {
        let lines = ["one".to_owned(), "two".to_owned()];
        assert_eq!(picture(&lines, 80, 0), "one\x1b[K\ntwo\x1b[K\n\x1b[J");
        assert!(picture(&lines, 80, 7).starts_with("\r\x1b[7Aone"));
    }
}
