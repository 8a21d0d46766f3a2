//! The commands: one file each.

mod bench;
mod classify;
mod completions;
mod config;
mod detect;
mod doctor;
mod eval;
mod inspect;
mod kernels;
mod live;
mod models;
mod pull;
mod run;
mod segment;

use anyhow::Result;
use clap::Subcommand;

use crate::arguments::Common;

/// What `kinglet` can do.
#[derive(Subcommand, Debug)]
pub enum Command {
    Live(live::Live),
    Classify(classify::Classify),
    Detect(detect::Detect),
    Segment(segment::Segment),
    Eval(eval::Eval),
    Run(run::Run),
    Bench(bench::Bench),
    Inspect(inspect::Inspect),
    Models(models::Models),
    Pull(pull::Pull),
    Kernels(kernels::Kernels),
    Doctor(doctor::Doctor),
    Config(config::ConfigArgs),
    Completions(completions::Completions),
}

impl Command {
    /// Does it.
    pub fn run(self, common: &Common) -> Result<()> {
        match self {
            Command::Live(command) => command.run(common),
            Command::Classify(command) => command.run(common),
            Command::Detect(command) => command.run(common),
            Command::Segment(command) => command.run(common),
            Command::Eval(command) => command.run(common),
            Command::Run(command) => command.run(common),
            Command::Bench(command) => command.run(common),
            Command::Inspect(command) => command.run(common),
            Command::Models(command) => command.run(common),
            Command::Pull(command) => command.run(common),
            Command::Kernels(command) => command.run(common),
            Command::Doctor(command) => command.run(common),
            Command::Config(command) => command.run(common),
            Command::Completions(command) => command.run(),
        }
    }
}
