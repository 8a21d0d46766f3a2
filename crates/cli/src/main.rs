//! The command `kinglet`: names what a camera sees, and looks after the models that do.
//!
//! A command is a file under `commands`; its arguments are its struct. Exit status: 0 done, 1 it failed (one line on
//! standard error says what, where, and what to do), 2 wrong usage.

#![forbid(unsafe_code)]

mod arguments;
mod commands;
mod config;
mod dataset;
mod fetch;
mod log;
mod npy;
mod output;
mod pictures;
mod table;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches, Parser};
use tracing::level_filters::LevelFilter;

use arguments::Common;
use commands::Command;
use config::Config;

/// Deep-learning models in real time on small computers
#[derive(Parser, Debug)]
#[command(
    name = "kinglet",
    version,
    after_help = "Without a command, kinglet looks through the first camera and says what it sees, in the \
terminal and at http://127.0.0.1:8080 (the same as `kinglet live`).

Examples:
  kinglet                                        the camera, live
  kinglet live --source photographs/             a folder of images instead
  kinglet classify mobilenet_v2 photograph.jpg   one image
  kinglet detect yolov8n.onnx photograph.jpg     what is where in it
  kinglet bench mobilenet_v2                     how fast this machine is

A MODEL is a file, or a name that `kinglet models` lists; those are fetched when first used.
`kinglet COMMAND --help` says more."
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    common: Common,
}

/// An error that was reported already; only the exit status is left to set.
#[derive(Debug, thiserror::Error)]
#[error("failed")]
struct Reported;

fn main() -> ExitCode {
    let cli = parse();
    log::start(cli.as_ref().map_or(LevelFilter::INFO, |cli| cli.common.log));
    let run = |cli: Cli| cli.command.expect("a command line without one got one").run(&cli.common);
    match cli.and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<output::Closed>() => ExitCode::SUCCESS,
        Err(error) => {
            if !error.is::<Reported>() {
                report(&error);
            }
            ExitCode::FAILURE
        }
    }
}

/// The command line, completed by the configuration file. Without a command, `kinglet live` was meant.
fn parse() -> anyhow::Result<Cli> {
    let command = Cli::command();
    let mut line: Vec<OsString> = std::env::args_os().collect();
    let typed = command.clone().get_matches_from(&line);
    if typed.subcommand().is_none() {
        line.push("live".into());
    }
    let config = Config::read(typed.get_one("config").map(PathBuf::as_path))?;
    Ok(Cli::from_arg_matches(&config.complete(&command, line)?)?)
}

/// Says on standard error, in one line, what went wrong.
fn report(error: &anyhow::Error) {
    tracing::error!("{error:#}");
}

fn milliseconds(duration: Duration) -> f64 {
    // A tenth of a microsecond is more than any clock here can tell; further digits only make JSON long.
    (duration.as_secs_f64() * 1e7).round() / 1e4
}
