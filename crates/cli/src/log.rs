//! What is told on standard error, by level. Under systemd each line begins with its priority, which the journal takes
//! (`sd-daemon(3)`); elsewhere with its level, unless it is plain information.

use std::fmt;
use std::io::{self, IsTerminal};

use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Tells events of this level and worse from now on.
pub fn start(level: LevelFilter) {
    let journal = std::env::var_os("JOURNAL_STREAM").is_some() && !io::stderr().is_terminal();
    // Where nobody reads standard error, there is nobody to tell.
    let events = tracing_subscriber::fmt().log_internal_errors(false).with_max_level(level).with_writer(io::stderr);
    events.event_format(Line { journal }).init();
}

/// An event as one line.
struct Line {
    journal: bool,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        writer.write_str(prefix(*event.metadata().level(), self.journal))?;
        let mut fields = String::new();
        context.format_fields(Writer::new(&mut fields), event)?;
        writeln!(writer, "{}", crate::output::plain(&fields))
    }
}

fn prefix(level: Level, journal: bool) -> &'static str {
    match (level, journal) {
        (Level::ERROR, true) => "<3>",
        (Level::WARN, true) => "<4>",
        (Level::INFO, true) => "<6>",
        (Level::DEBUG | Level::TRACE, true) => "<7>",
        (Level::ERROR, false) => "error: ",
        (Level::WARN, false) => "warning: ",
        (Level::INFO, false) => "",
        (Level::DEBUG, false) => "debug: ",
        (Level::TRACE, false) => "trace: ",
    }
}
