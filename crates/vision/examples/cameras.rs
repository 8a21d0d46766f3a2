//! Lists the cameras of this machine, or tries a source for some seconds: `cameras [SOURCE [WIDTHxHEIGHT [FPS
//! [SECONDS]]]]`. What it negotiated, the rate, the age of frames and their mean color tell whether a camera works.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use kinglet_vision::capture::Capture;
use kinglet_vision::decode;
use kinglet_vision::frame::Rgb;
use kinglet_vision::mailbox::Taken;
use kinglet_vision::sources::{self, Health, SourceOptions};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cameras: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(spec) = arguments.first() else {
        list();
        return Ok(());
    };
    let mut options = SourceOptions::default();
    if let Some((width, height)) = arguments.get(1).and_then(|size| size.split_once('x')) {
        (options.width, options.height) = (width.parse()?, height.parse()?);
    }
    options.fps = arguments.get(2).map(|fps| fps.parse()).transpose()?;
    let seconds = arguments.get(3).map_or(Ok(5), |seconds| seconds.parse())?;
    let mut capture = Capture::start(sources::open(spec, &options)?)?;
    println!("{}", capture.description());
    let (start, mut frames, mut age, mut health) = (Instant::now(), 0u64, Duration::ZERO, Health::Live);
    let (mut rgb, mut sequence) = (Rgb::new(), 0);
    while start.elapsed() < Duration::from_secs(seconds) {
        match capture.newest(Duration::from_millis(100)) {
            Taken::Newest(frame) => {
                frames += 1;
                sequence = frame.sequence;
                age += frame.captured.elapsed();
                decode::picture(&frame.picture, &mut rgb)?;
            }
            Taken::TimedOut => {}
            Taken::Closed => break,
        }
        if let Some(why) = capture.take_skipped() {
            println!("skipped: {why}");
        }
        if capture.health() != health {
            health = capture.health();
            println!("{health:?}");
        }
    }
    capture.stop()?;
    let seconds = start.elapsed().as_secs_f64();
    println!("{frames} frames of {}, {:.1} a second", sequence + 1, frames as f64 / seconds);
    println!("{:.1} ms from capture to here on average", age.as_secs_f64() * 1e3 / frames.max(1) as f64);
    let mean = |channel: usize| {
        let sum: u64 = rgb.bytes().iter().skip(channel).step_by(3).map(|&byte| u64::from(byte)).sum();
        sum / (rgb.bytes().len() as u64 / 3).max(1)
    };
    println!("mean of the last one ({}x{}): R {} G {} B {}", rgb.width(), rgb.height(), mean(0), mean(1), mean(2));
    Ok(())
}

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
fn list() {
    for camera in sources::v4l2::cameras() {
        println!("{}  {} ({})", camera.path.display(), camera.card, camera.driver);
        match camera.unusable {
            Some(why) => println!("    not usable: {why}"),
            None => camera.modes.iter().for_each(|mode| println!("    {mode}")),
        }
    }
}

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
fn list() {
    println!("cameras are read through V4L2 on 64-bit Linux, and nowhere else");
}
