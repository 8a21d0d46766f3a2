//! `kinglet completions`: what a shell needs to complete commands and options.

use anyhow::Result;
use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use crate::{Cli, output};

/// Print completions for a shell
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  kinglet completions bash > ~/.local/share/bash-completion/completions/kinglet
  kinglet completions zsh > ~/.zfunc/_kinglet
  kinglet completions fish > ~/.config/fish/completions/kinglet.fish")]
pub struct Completions {
    /// Which shell
    shell: Shell,
}

impl Completions {
    pub fn run(self) -> Result<()> {
        let mut script = Vec::new();
        generate(self.shell, &mut Cli::command(), "kinglet", &mut script);
        output::text(String::from_utf8_lossy(&script))
    }
}
