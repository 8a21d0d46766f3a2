//! `kinglet live`: says what a camera sees.

mod service;
mod terminal;

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use console::Term;
use kinglet::kernels::table::Choice;
use kinglet::vision::board::Board;
use kinglet::vision::live::{self, Audience, LiveOptions};
use kinglet::vision::page::{About, Access, Hub, Server};
use kinglet::vision::recognizer::Recognizer;
use kinglet::vision::sources::{self, SourceOptions};
use kinglet::{Model, zoo};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::arguments::{Common, CropArgs, LoadArgs, ObjectArgs, PictureArgs};
use service::Service;
use terminal::{Lines, Screen, Style, Terminal};

/// Say what a camera sees, in the terminal and on a web page
#[derive(Args, Debug)]
#[command(
    after_help = "The newest frame is what counts: one that comes while the model is busy replaces the one that waits, \
which is counted as dropped. Ctrl-C ends it.

Sources:
  camera           the first camera that captures
  /dev/videoN      this camera
  rpicam           a Raspberry Pi's own (CSI) camera, through rpicam-vid
  FOLDER           its images, one after another, again and again
  FILE.y4m         a video without compression; FILE.mjpeg: one JPEG after another
  http://…         a network camera's MJPEG stream

Examples:
  kinglet live
  kinglet live --source photographs/ --fps 10
  kinglet live mobilenet_v2 --source /dev/video2 --size 640x480
  KINGLET_PASSWORD=… kinglet live --listen 0.0.0.0:8080
  kinglet live --no-web --json --frames 100

On a terminal, the answer to the newest frame is shown; in a pipe, a line a second is printed. With --json a line a \
second: fps, inference_ms and latency_ms (p50, p99; latency is from capture to answer), captured, inferred, dropped, \
temperature_c, governor, under_voltage and throttled (of the board; null where it does not tell), top (index, label, score from 0 to 1). A model that finds objects has detections (index, label, score, box, keypoints) \
instead of top, one that gives pixels their class has classes (index, label, pixels, share); the page draws them."
)]
pub struct Live {
    /// A model file, or a name that `kinglet models` lists
    #[arg(default_value = zoo::DEFAULT)]
    model: String,

    /// Where pictures come from
    #[arg(long, default_value = "camera", value_name = "SOURCE")]
    source: String,

    /// Frames a second to ask of the source [default: 36; a video file's own rate]
    #[arg(long, value_name = "FPS", value_parser = frames_a_second)]
    fps: Option<f64>,

    /// The picture size to ask of a camera; it gives the nearest that it has
    #[arg(long, default_value = "224x224", value_name = "WxH", value_parser = size)]
    size: (u32, u32),

    /// Begin a video file again when it ends
    #[arg(long)]
    repeat: bool,

    /// How many answers are shown
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    top: u32,

    /// Where the web page is served; 0.0.0.0:8080 lets other machines see it, too, which wants a password
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS:PORT", value_parser = address)]
    listen: SocketAddr,

    /// Ask for this password on the web page, with any user name; a program may send it as a bearer token. The environment
    /// is the better place: other users can see a command line
    #[arg(long, value_name = "PASSWORD", env = "KINGLET_PASSWORD", hide_env_values = true)]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    password: Option<String>,

    /// Serve no web page
    #[arg(long)]
    no_web: bool,

    /// End after this many answered frames
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    frames: Option<u64>,

    #[command(flatten)]
    objects: ObjectArgs,

    #[command(flatten)]
    load: LoadArgs,

    #[command(flatten)]
    pictures: PictureArgs,

    #[command(flatten)]
    crop: CropArgs,
}

impl Live {
    pub fn run(self, common: &Common) -> Result<()> {
        let model = self.crop.apply(self.pictures.open(&self.model, &self.load)?);
        let mut recognizer = Recognizer::new(&model, self.objects.options(), &self.load.session(common, Choice::Best))
            .with_context(|| self.model.clone())?;
        let source = sources::open(&self.source, &self.source_options())?;
        let mut hub = Hub::new(about(&model, &recognizer));
        let server = if self.no_web { None } else { Some(Server::start(self.listen, self.access(), hub.clone())?) };

        let stop = stop_on_signals()?;
        let page = server.as_ref().map(Server::url);
        let mut terminal = self.terminal(common, &model, page, &stop);
        let mut service = Service::new();
        let mut viewers: Vec<&mut dyn Audience> = vec![&mut *terminal, &mut service];
        if server.is_some() {
            viewers.push(&mut hub);
        }
        let options = LiveOptions { top: self.top as usize, frames: self.frames, board: Board::default() };
        let report = live::run(source, &mut recognizer, &options, &mut viewers, &stop);
        terminal.finish(report.as_ref().ok())?;
        report.map(drop).map_err(Into::into)
    }

    fn access(&self) -> Access {
        self.password.clone().map_or(Access::Open, Access::Password)
    }

    fn source_options(&self) -> SourceOptions {
        let (width, height) = self.size;
        SourceOptions { width, height, fps: self.fps, repeat: self.repeat, ..SourceOptions::default() }
    }

    fn terminal(
        &self,
        common: &Common,
        model: &Model,
        page: Option<String>,
        stop: &Arc<AtomicBool>,
    ) -> Box<dyn Terminal> {
        let (terminal, stop) = (Term::stdout(), Arc::clone(stop));
        if common.json {
            Box::new(Lines::new(Style::Json, page, stop))
        } else if terminal.features().is_attended() && !console::is_dumb() {
            Box::new(Screen::new(terminal, model.name(), page, stop))
        } else {
            Box::new(Lines::new(Style::Text, page, stop))
        }
    }
}

/// The flag that an interrupt, a request to terminate or a terminal that is closed sets; a second one ends the program at once.
fn stop_on_signals() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // `nohup` has the program outlive its terminal.
        if signal == SIGHUP && is_ignored(signal) {
            continue;
        }
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stop))
            .and_then(|_| flag::register(signal, Arc::clone(&stop)))
            .context("cannot watch for signals")?;
    }
    Ok(stop)
}

/// Whether whoever started this program had it ignore the signal.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// What the page says of the model.
fn about(model: &Model, recognizer: &Recognizer) -> About {
    About {
        model: model.name().to_owned(),
        dtype: model.dtype().name().to_owned(),
        threads: recognizer.session().threads(),
        ..About::default()
    }
}

fn frames_a_second(text: &str) -> Result<f64, String> {
    let fps = text.parse().ok().filter(|fps| (0.01..=1000.0).contains(fps));
    fps.ok_or_else(|| "give a number from 0.01 to 1000".to_owned())
}

/// `640x480`
fn size(text: &str) -> Result<(u32, u32), String> {
    let side = |text: &str| text.parse().ok().filter(|side| (1..=16_384).contains(side));
    let sides = text.split_once(['x', 'X']).and_then(|(width, height)| Some((side(width)?, side(height)?)));
    sides.ok_or_else(|| "give width and height like 640x480".to_owned())
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let found = text.to_socket_addrs().ok().and_then(|mut addresses| addresses.next());
    found.ok_or_else(|| "give an address and a port like 127.0.0.1:8080".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_rates_and_addresses_are_read() {
        assert_eq!(size("640x480"), Ok((640, 480)));
        for text in ["640", "0x480", "640x", "x", "640x480x3", "99999x1", "-1x1"] {
            assert!(size(text).is_err(), "{text}");
        }
        assert_eq!(frames_a_second("29.97"), Ok(29.97));
        assert!(frames_a_second("0").is_err() && frames_a_second("nan").is_err());
        assert_eq!(address("127.0.0.1:80").unwrap().port(), 80);
        assert!(address("8080").is_err());
    }
}
