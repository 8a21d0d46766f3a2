//! `kinglet models`: the zoo.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use kinglet::zoo::{self, Entry, Zoo};
use serde::Serialize;

use crate::arguments::Common;
use crate::output;
use crate::table::{Table, left, right};

/// List the models that can be used by name
#[derive(Args, Debug)]
#[command(after_help = "A model is fetched when it is first used, or with `kinglet pull NAME`; then it is kept in \
the folder models of $KINGLET_HOME, or else of $XDG_CACHE_HOME/kinglet or ~/.cache/kinglet. What the caches of PyTorch \
($TORCH_HOME, ~/.cache/torch) and Hugging Face ($HF_HOME, ~/.cache/huggingface) have is used from there. \
KINGLET_ZOO_URL=http://HOST fetches from a mirror. The first one is what `kinglet live` uses.

A name of torchvision's stands for its newest weights, NAME.v1 for older ones; names of timm's have their recipe after the \
dot. mobilenet_v2 is quantized, and mobilenet_v2_float is torchvision's.")]
pub struct Models {}

/// A model of the zoo, as JSON has it.
#[derive(Serialize)]
pub struct Listing {
    name: &'static str,
    description: &'static str,
    size: u64,
    licence: &'static str,
    address: String,
    sha256: &'static str,
    path: PathBuf,
    fetched: bool,
}

impl Listing {
    /// What is known of a model.
    pub fn new(zoo: &Zoo, entry: &Entry) -> Result<Listing, kinglet::Error> {
        let found = zoo.find(entry)?;
        Ok(Listing {
            name: entry.name,
            description: entry.description,
            size: entry.size,
            licence: entry.licence,
            address: zoo.address(entry),
            sha256: entry.sha256,
            fetched: found.is_some(),
            path: found.unwrap_or_else(|| zoo.path(entry)),
        })
    }
}

impl Models {
    pub fn run(self, common: &Common) -> Result<()> {
        let zoo = Zoo::from_env()?;
        let listings = zoo::entries().map(|entry| Listing::new(&zoo, entry)).collect::<Result<Vec<_>, _>>()?;
        if common.json {
            return output::json(&listings);
        }
        let mut table = Table::new(&[left("name"), right("size"), left("here"), left("licence"), left("what it is")]);
        for model in listings {
            let fetched = if model.fetched { "yes" } else { "no" };
            let size = output::bytes(model.size);
            table.row([model.name.into(), size, fetched.into(), model.licence.into(), model.description.into()]);
        }
        output::line(table)
    }
}
