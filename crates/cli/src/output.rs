//! Standard output: lines and JSON. A reader that goes away (`kinglet live | head`) ends the program quietly.

use std::fmt::Display;
use std::io::{self, Write};

use serde::Serialize;

/// Nobody reads standard output any more.
#[derive(Debug, thiserror::Error)]
#[error("standard output was closed")]
pub struct Closed;

/// Writes a line.
pub fn line(text: impl Display) -> anyhow::Result<()> {
    check(writeln!(io::stdout().lock(), "{text}"))
}

/// Writes one JSON value on one line.
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    line(serde_json::to_string(value)?)
}

/// Writes text as it is, and makes sure that it is seen now.
pub fn text(text: impl Display) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    check(write!(stdout, "{text}").and_then(|()| stdout.flush()))
}

/// Text of somebody else's, such as a name in a model: one line, and nothing that a terminal would obey.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A count of bytes in a unit that people read: `3.9 MB`.
pub fn bytes(count: u64) -> String {
    match count {
        0..1_000 => format!("{count} B"),
        1_000..1_000_000 => format!("{:.1} kB", count as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", count as f64 / 1e6),
        _ => format!("{:.1} GB", count as f64 / 1e9),
    }
}

fn check(result: io::Result<()>) -> anyhow::Result<()> {
    result.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Closed.into(),
        _ => anyhow::Error::new(error).context("cannot write to standard output"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_taken_out() {
        assert_eq!(plain("a\x1b[2J\u{9b}1m\r\nü\u{7}"), "a [2J 1m  ü ");
    }

    #[test]
    fn bytes_have_a_unit() {
        for (count, text) in [(0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (4_070_174, "4.1 MB"), (1 << 31, "2.1 GB")]
        {
            assert_eq!(bytes(count), text);
        }
    }
}
