//! `kinglet pull`: fetches a model of the zoo.

use anyhow::Result;
use clap::Args;
use kinglet::zoo::{self, Zoo};

use super::models::Listing;
use crate::arguments::Common;
use crate::{fetch, output};

/// Fetch a model for use without a network
#[derive(Args, Debug)]
#[command(after_help = "A download that was cut goes on where it ended, and the file is checked by its hash.

Examples:
  kinglet pull mobilenet_v2
  KINGLET_HOME=/mnt/usb/kinglet kinglet pull mobilenet_v2")]
pub struct Pull {
    /// A name that `kinglet models` lists
    name: String,
}

impl Pull {
    pub fn run(self, common: &Common) -> Result<()> {
        let zoo = Zoo::from_env()?;
        let entry = zoo::find(&self.name)?;
        let path = fetch::fetch(&zoo, entry)?;
        if common.json { output::json(&Listing::new(&zoo, entry)?) } else { output::line(path.display()) }
    }
}
