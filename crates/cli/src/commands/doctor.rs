//! `kinglet doctor`: what is wrong with this machine, and how to mend it.

use anyhow::Result;
use clap::Args;
use console::{Style, pad_str, style};
use kinglet::doctor::{self, Finding, Level, Machine};
use serde::Serialize;

use crate::arguments::Common;
use crate::output;

/// Say what is wrong with this machine, and how to mend it
#[derive(Args, Debug)]
#[command(
    after_help = "Looks at the CPU and its clock, temperature, power supply, memory, cameras, disk and network, and \
changes nothing. Green is well, yellow costs speed or will not work, red is broken or about to be. Run it as root to see \
who else holds a camera.

With --json: worst (green, yellow, red), checks (check, level, found, advice)."
)]
pub struct Doctor {}

#[derive(Serialize)]
struct Report {
    worst: Level,
    checks: Vec<Finding>,
}

impl Doctor {
    pub fn run(self, common: &Common) -> Result<()> {
        let checks = doctor::examine(&Machine::this());
        if common.json {
            let worst = checks.iter().map(|finding| finding.level).max().unwrap_or(Level::Green);
            return output::json(&Report { worst, checks });
        }
        let width = checks.iter().map(|finding| finding.check.len()).max().unwrap_or(0);
        checks.iter().try_for_each(|finding| print(finding, width))
    }
}

fn print(finding: &Finding, width: usize) -> Result<()> {
    let (word, color) = match finding.level {
        Level::Green => ("green", Style::new().green()),
        Level::Yellow => ("yellow", Style::new().yellow().bold()),
        Level::Red => ("red", Style::new().red().bold()),
    };
    let word = color.apply_to(format!("{word:6}"));
    let check = pad_str(finding.check, width, console::Alignment::Left, None);
    output::line(format!("{word}  {check}  {}", output::plain(&finding.found)))?;
    match &finding.advice {
        Some(advice) => {
            output::line(format!("{:width$}  {}", "", style(format!("→ {advice}")).bold(), width = width + 8))
        }
        None => Ok(()),
    }
}
