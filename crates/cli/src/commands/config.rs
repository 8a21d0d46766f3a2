//! `kinglet config`: what holds, and where it comes from.

use anyhow::Result;
use clap::{Args, CommandFactory};

use crate::arguments::Common;
use crate::config::Config;
use crate::{Cli, output};

/// Show what is set, and where that comes from
#[derive(Args, Debug)]
#[command(
    after_help = "A setting is a flag without its dashes, in a file in TOML: those that all commands take at the top, \
those of a command in a table of its name.

  threads = 3

  [live]
  source = \"rpicam\"
  fps = 15

Examples:
  kinglet config --print
  kinglet config --print bench

The file is the one of --config or KINGLET_CONFIG, else $XDG_CONFIG_HOME/kinglet/config.toml (~/.config), else \
/etc/kinglet/config.toml. What the command line or the environment says goes before it. What this prints is such a file."
)]
pub struct ConfigArgs {
    /// Print the settings of a command, each with where it comes from
    #[arg(long, value_name = "COMMAND", num_args = 0..=1, default_value = "live", default_missing_value = "live")]
    print: String,
}

impl ConfigArgs {
    pub fn run(self, common: &Common) -> Result<()> {
        output::line(Config::read(common.config.as_deref())?.print(&Cli::command(), &self.print)?)
    }
}
