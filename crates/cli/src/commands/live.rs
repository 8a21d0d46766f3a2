//! `kinglet live`
use crate::arguments::Common;
#[derive(clap::Args, Debug, Default)]
pub struct Live {}
impl Live {
    pub fn run(self, _: &Common) -> anyhow::Result<()> {
        Ok(())
    }
}
