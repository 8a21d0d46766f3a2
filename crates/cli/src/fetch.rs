//! Models by name or path, with a progress bar while one is downloaded.

use std::path::PathBuf;

use indicatif::{ProgressBar, ProgressStyle};
use kinglet::zoo::{Entry, Progress, Zoo};
use kinglet::{Model, OpenOptions};

/// Loads a model; a download shows its progress on a terminal.
pub fn load(name_or_path: &str, options: &OpenOptions) -> Result<Model, kinglet::Error> {
    let mut bar = Bar::default();
    Model::load(name_or_path, options, &mut |progress| bar.show(name_or_path, progress))
}

/// Fetches a model of the zoo into the cache.
pub fn fetch(zoo: &Zoo, entry: &Entry) -> Result<PathBuf, kinglet::Error> {
    let mut bar = Bar::default();
    zoo.fetch(entry, &mut |progress| bar.show(entry.name, progress))
}

/// A progress bar on stderr; it draws nothing where stderr is no terminal.
#[derive(Default)]
struct Bar(Option<ProgressBar>);

impl Bar {
    fn show(&mut self, name: &str, progress: Progress<'_>) {
        let bar = self.0.get_or_insert_with(|| {
            let style = ProgressStyle::with_template("{msg}  {wide_bar} {decimal_bytes}/{decimal_total_bytes} {eta}");
            ProgressBar::new(0).with_style(style.expect("the template is sound"))
        });
        match progress {
            Progress::Waiting => bar.println(format!("{name}: another kinglet is downloading it; waiting for that")),
            Progress::Retrying { problem, pause } => {
                bar.println(format!("{name}: {problem}; trying again in {:.0} s", pause.as_secs_f64()));
            }
            Progress::Bytes { done, total } => {
                bar.set_message(format!("Fetching {name}"));
                bar.set_length(total);
                bar.set_position(done);
            }
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
