//! What `kinglet live` writes: on a terminal a status line with the answers below it, drawn again and again; else a
//! line a second, as text or JSON.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Error, Result};
use console::{Term, style, truncate_str};
use kinglet::vision::VisionError;
use kinglet::vision::board::BoardState;
use kinglet::vision::live::Audience;
use kinglet::vision::recognizer::Answer;
use kinglet::vision::sources::{Description, Health};
use kinglet::vision::stats::LiveReport;
use kinglet::{ClassShare, Detection};

use crate::output;

/// How often a line is printed.
const LINE_EVERY: Duration = Duration::from_secs(1);
/// Bars have this many columns at most.
const LONGEST_BAR: usize = 30;
/// Objects or classes that a line of text names at most.
const MOST_IN_A_LINE: usize = 5;

/// A viewer that writes to standard output.
pub trait Terminal: Audience {
    /// The loop has ended, with this last report if it ended well.
    fn finish(&mut self, report: Option<&LiveReport>) -> Result<()>;
}

/// How [`Lines`] writes a report.
pub enum Style {
    Text,
    Json,
}

/// A line a second.
pub struct Lines {
    style: Style,
    due: Instant,
    /// Set when standard output cannot be written any more.
    stop: Arc<AtomicBool>,
    failure: Option<Error>,
    skipped: String,
    /// Captured, inferred and dropped frames of the last line.
    printed: [u64; 3],
}

impl Lines {
    pub fn new(style: Style, page: Option<String>, stop: Arc<AtomicBool>) -> Lines {
        if let Some(page) = page {
            tracing::info!("page: {page}");
        }
        Lines { style, due: Instant::now() + LINE_EVERY, stop, failure: None, skipped: String::new(), printed: [0; 3] }
    }

    fn print(&mut self, report: &LiveReport) {
        self.printed = counts(report);
        let written = match self.style {
            Style::Text => output::line(text(report)),
            Style::Json => output::json(report),
        };
        if let Err(error) = written {
            self.failure.get_or_insert(error);
            self.stop.store(true, Ordering::Release);
        }
    }
}

impl Audience for Lines {
    fn report(&mut self, report: &LiveReport) {
        let now = Instant::now();
        if now >= self.due && self.failure.is_none() {
            self.print(report);
            self.due = (self.due + LINE_EVERY).max(now);
        }
    }

    fn health(&mut self, health: &Health) {
        match health {
            Health::Live => tracing::info!("frames come again"),
            stale => tracing::warn!("{}", why_stale(stale)),
        }
    }

    fn source(&mut self, description: &Description) {
        tracing::info!("source: {description}");
    }

    fn skipped(&mut self, error: &VisionError) {
        let problem = error.to_string();
        // A source that spoils every frame says so once.
        if problem != self.skipped {
            tracing::warn!("a frame was skipped: {problem}");
            self.skipped = problem;
        }
    }
}

impl Terminal for Lines {
    /// The last report is the last line, once.
    fn finish(&mut self, report: Option<&LiveReport>) -> Result<()> {
        if let (Some(report), None) = (report, &self.failure)
            && (counts(report) != self.printed || report.captured == 0)
        {
            self.print(report);
        }
        self.failure.take().map_or(Ok(()), Err)
    }
}

fn counts(report: &LiveReport) -> [u64; 3] {
    [report.captured, report.inferred, report.dropped]
}

/// A block of lines that is drawn over itself.
pub struct Screen {
    terminal: Term,
    model: String,
    page: Option<String>,
    source: String,
    health: Health,
    skipped: Option<String>,
    /// Lines of the block as it stands on the screen.
    drawn: usize,
    stop: Arc<AtomicBool>,
    failure: Option<Error>,
}

impl Screen {
    pub fn new(terminal: Term, model: &str, page: Option<String>, stop: Arc<AtomicBool>) -> Screen {
        Screen {
            terminal,
            model: model.to_owned(),
            page,
            source: String::new(),
            health: Health::Live,
            skipped: None,
            drawn: 0,
            stop,
            failure: None,
        }
    }

    /// The block for a screen of this size.
    fn lines(&self, report: &LiveReport, rows: usize, columns: usize) -> Vec<String> {
        let page = self.page.as_ref().map(|page| format!("{}  ", style(page).underlined())).unwrap_or_default();
        let mut lines = vec![format!("{}  {page}{}", style(&self.model).bold(), self.source), status(report)];
        match (&self.health, &self.skipped) {
            (Health::Live, None) => {}
            (Health::Live, Some(skipped)) => {
                lines.push(style(format!("a frame was skipped: {skipped}")).yellow().to_string())
            }
            (stale, _) => lines.push(style(why_stale(stale)).red().bold().to_string()),
        }
        // What rounds to nothing recedes, and all of it does while it is not about the present.
        let stale = !matches!(self.health, Health::Live);
        let line = |label: &str, share: f32, more: &str| answer(label, share, more, columns, stale || share < 0.0005);
        match &report.answer {
            Answer::Top(top) => lines.extend(top.iter().map(|one| line(&one.label, one.score, ""))),
            Answer::Detections(found) => {
                lines.extend(found.iter().map(|one| line(&one.label, one.score, &format!("  {}", place(one)))));
                if found.is_empty() {
                    lines.push(style("nothing found").dim().to_string());
                }
            }
            Answer::Classes(classes) => {
                lines.extend(classes.iter().map(|one| line(&one.label, one.share as f32, "")));
            }
        }
        // The last row is the cursor's.
        lines.truncate(rows.saturating_sub(1).max(1));
        lines.iter().map(|line| truncate_str(line, columns, "…").into_owned()).collect()
    }

    fn draw(&mut self, report: &LiveReport) {
        let (rows, columns) = self.terminal.size();
        let lines = self.lines(report, rows.into(), columns.into());
        // One write, so that no half-drawn block is seen: up to the block's start, each line and the rest of its row,
        // and what is left of a longer block.
        let mut text = String::from("\r");
        if self.drawn > 0 {
            _ = write!(text, "\x1b[{}A", self.drawn);
        }
        for line in &lines {
            _ = write!(text, "{line}\x1b[K\r\n");
        }
        text.push_str("\x1b[J");
        self.drawn = lines.len();
        if let Err(error) = output::text(text) {
            self.failure.get_or_insert(error);
            self.stop.store(true, Ordering::Release);
        }
    }
}

impl Audience for Screen {
    fn report(&mut self, report: &LiveReport) {
        if self.failure.is_none() {
            self.draw(report);
        }
    }

    fn health(&mut self, health: &Health) {
        self.health = health.clone();
    }

    fn source(&mut self, description: &Description) {
        self.source = description.to_string();
    }

    fn skipped(&mut self, error: &VisionError) {
        self.skipped = Some(error.to_string());
    }
}

impl Terminal for Screen {
    /// The last block stays on the screen as it is.
    fn finish(&mut self, _report: Option<&LiveReport>) -> Result<()> {
        self.failure.take().map_or(Ok(()), Err)
    }
}

pub fn why_stale(health: &Health) -> String {
    let silent = |since: &Instant| since.elapsed().as_secs();
    match health {
        Health::Live => String::new(),
        Health::Stale { since } => format!("no frame for {} s; waiting for the next", silent(since)),
        Health::Lost { since, why } => format!("no frame for {} s: {why}; trying again", silent(since)),
    }
}

/// The numbers of a report.
pub fn status(report: &LiveReport) -> String {
    let LiveReport { fps, inference_ms, latency_ms, captured, dropped, .. } = report;
    format!(
        "{fps:.1} fps  model {:.1} ms  latency {:.1} ms (p99 {:.1})  dropped {dropped} of {captured}{}",
        inference_ms.p50,
        latency_ms.p50,
        latency_ms.p99,
        board(&report.board)
    )
}

/// What slows the board down now; nothing where it is well.
fn board(state: &BoardState) -> String {
    let heat = state.temperature_c.map(|celsius| format!(" at {celsius:.0} °C")).unwrap_or_default();
    match state {
        BoardState { under_voltage: Some(true), .. } => "  POWER TOO WEAK".to_owned(),
        BoardState { throttled: Some(true), .. } => format!("  CPU SLOWED DOWN{heat}"),
        _ => String::new(),
    }
}

/// A report as a line of text.
fn text(report: &LiveReport) -> String {
    let told = |label: &str, share: f64| format!("  {} {:.1} %", output::plain(label), 100.0 * share);
    let object = |one: &Detection| told(&one.label, one.score.into());
    let class = |one: &ClassShare| told(&one.label, one.share);
    let answer: String = match &report.answer {
        Answer::Top(top) => top.first().map(|one| told(&one.label, one.score.into())).unwrap_or_default(),
        Answer::Detections(found) => found.iter().take(MOST_IN_A_LINE).map(object).collect(),
        Answer::Classes(classes) => classes.iter().take(MOST_IN_A_LINE).map(class).collect(),
    };
    status(report) + &answer
}

/// A percentage, a bar for it, a name, and what else there is to say; pale if it `recedes`.
fn answer(label: &str, share: f32, more: &str, columns: usize, recedes: bool) -> String {
    let bar = style(bar(share, (columns / 3).min(LONGEST_BAR))).cyan();
    let (percent, label, more) = (style(format!("{:5.1} %", 100.0 * share)), style(label), style(more).dim());
    match recedes {
        true => format!("{}  {}  {}{more}", percent.dim(), bar.dim(), label.dim()),
        false => format!("{percent}  {bar}  {label}{more}"),
    }
}

/// Where an object is.
fn place(detection: &Detection) -> String {
    let [x0, y0, x1, y1] = <[f32; 4]>::from(detection.bounds).map(f32::round);
    format!("{x0}, {y0} to {x1}, {y1}")
}

/// A bar of `width` columns, of which the part `share` is filled, to an eighth of a column.
fn bar(share: f32, width: usize) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share.clamp(0.0, 1.0) * (width * 8) as f32).round() as usize;
    let filled = "█".repeat(eighths / 8) + PARTS[eighths % 8];
    format!("{filled:width$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use console::{measure_text_width, strip_ansi_codes};
    use kinglet::Prediction;

    fn report(answers: usize) -> LiveReport {
        let ranked =
            |index| Prediction { index, label: format!("a class with a long name, number {index}"), score: 0.5 };
        LiveReport {
            fps: 36.04,
            captured: 720,
            dropped: 3,
            answer: Answer::Top((0..answers).map(ranked).collect()),
            ..LiveReport::default()
        }
    }

    fn screen() -> Screen {
        Screen::new(Term::stdout(), "mobilenet_v2", Some("http://127.0.0.1:8080".into()), Arc::default())
    }

    #[test]
    fn bars_are_as_long_as_their_share() {
        for (share, expected) in
            [(0.0, "    "), (1.0, "████"), (0.5, "██  "), (0.03125, "▏   "), (2.0, "████"), (f32::NAN, "    ")]
        {
            assert_eq!(bar(share, 4), expected, "{share}");
        }
    }

    #[test]
    fn the_block_fits_the_screen() {
        for (rows, columns) in [(24, 80), (5, 20), (2, 8), (1, 1), (0, 0)] {
            let lines = screen().lines(&report(10), rows, columns);
            assert_eq!(lines.len(), 12.min(rows.saturating_sub(1)).max(1));
            assert!(lines.iter().all(|line| measure_text_width(line) <= columns.max(1)), "{columns}: {lines:?}");
        }
    }

    #[test]
    fn what_slows_the_board_down_is_said_beside_the_rate() {
        let with = |board: BoardState| status(&LiveReport { board, ..report(0) });
        let hot = BoardState { temperature_c: Some(84.7), throttled: Some(true), ..BoardState::default() };
        assert!(with(hot.clone()).ends_with("of 720  CPU SLOWED DOWN at 85 °C"), "{}", with(hot.clone()));
        assert!(with(BoardState { under_voltage: Some(true), ..hot }).ends_with("of 720  POWER TOO WEAK"));
    }

    #[test]
    fn the_block_says_what_it_knows() {
        let mut screen = screen();
        let lines = screen.lines(&report(2), 24, 120);
        assert!(strip_ansi_codes(&lines[0]).starts_with("mobilenet_v2  http://127.0.0.1:8080"));
        assert!(lines[1].starts_with("36.0 fps") && lines[1].ends_with("dropped 3 of 720"), "{}", lines[1]);
        assert!(strip_ansi_codes(&lines[2]).starts_with(" 50.0 %  ███"));
        screen.health = Health::Lost { since: Instant::now(), why: "the camera was unplugged".into() };
        let lines = screen.lines(&report(2), 24, 120);
        assert!(lines[2].contains("no frame for 0 s: the camera was unplugged; trying again"), "{}", lines[2]);
    }
}
