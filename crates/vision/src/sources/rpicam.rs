//! A Raspberry Pi's CSI camera, through its own program: `rpicam-vid`, which was once called `libcamera-vid`, writes MJPEG to
//! a pipe. libcamera makes pictures of what the sensor sees and has no stable interface to link against; its program has.

use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::jpeg_pipe::JpegPipe;
use super::reopening::Reopening;
use super::{DEFAULT_FPS, Description, Next, Source, SourceOptions};
use crate::error::{Result, VisionError};

/// The program's names, the present one first.
const PROGRAMS: [&str; 2] = ["rpicam-vid", "libcamera-vid"];
const NOT_INSTALLED: &str = "neither rpicam-vid nor libcamera-vid is on the PATH; install it with \
                             `sudo apt install rpicam-apps-lite` (on older systems libcamera-apps-lite)";
/// The program takes a second or two until its first picture; after so long without one it stalls.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the first picture of all is waited for: a camera that is not there is to be said at once.
const FIRST_PICTURE: Duration = Duration::from_secs(10);
/// A line of what the program says is kept to this length.
const LONGEST_LINE: u64 = 1000;

/// Starts the program; it is started again when it stalls or ends.
pub(super) fn open(options: &SourceOptions) -> Result<Box<dyn Source>> {
    open_program(PROGRAMS.map(str::to_owned).to_vec(), options)
}

/// Starts the first of these programs that there is.
fn open_program(programs: Vec<String>, options: &SourceOptions) -> Result<Box<dyn Source>> {
    let wanted = options.clone();
    let mut first = true;
    let open = Box::new(move || {
        let mut camera = RpiCam::start(&programs, &wanted)?;
        if std::mem::take(&mut first) {
            camera.wait_for_picture()?;
        }
        Ok(Box::new(camera) as Box<dyn Source>)
    });
    Ok(Box::new(Reopening::open(open, PATIENCE, options.clock.clone())?))
}

/// The program while it runs.
#[derive(Debug)]
struct RpiCam {
    child: Child,
    pictures: JpegPipe,
    /// What was waited for when the source was opened.
    waited_for: Option<Next>,
    /// The last line that the program wrote on standard error, which it keeps for errors.
    complaint: Arc<Mutex<String>>,
    /// Hears what the program says until it has said all.
    listener: JoinHandle<()>,
    description: Description,
}

impl RpiCam {
    fn start(programs: &[String], options: &SourceOptions) -> Result<RpiCam> {
        let fps = options.fps.unwrap_or(DEFAULT_FPS);
        // Encoders halve the chroma, so that sides are even.
        let (width, height) = (options.width.next_multiple_of(2), options.height.next_multiple_of(2));
        let (program, mut child) = spawn(programs, width, height, fps).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => failed(NOT_INSTALLED.to_owned()),
            _ => failed(format!("cannot start {}: {error}", programs.join(" or "))),
        })?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (Some(stdout), Some(stderr)) = (stdout, stderr) else { unreachable!("both are piped") };
        let complaint = Arc::new(Mutex::new(String::new()));
        let description = Description {
            name: "Raspberry Pi camera".to_owned(),
            format: format!("MJPEG from {program}"),
            size: Some((width, height)),
            fps: Some(fps),
        };
        let why = |ended: io::Result<()>| ended.map_or_else(|error| error.to_string(), |()| "it ended".to_owned());
        let pictures = JpegPipe::drain("rpicam", stdout, why);
        let listening = listen(stderr, complaint.clone());
        match pictures.and_then(|pictures| Ok((pictures, listening?))) {
            Ok((pictures, listener)) => {
                Ok(RpiCam { child, pictures, waited_for: None, complaint, listener, description })
            }
            Err(error) => {
                end(&mut child);
                Err(VisionError::Thread(error))
            }
        }
    }

    /// Waits for the first picture, so that a program that finds no camera is an error of opening.
    fn wait_for_picture(&mut self) -> Result<()> {
        match self.next(FIRST_PICTURE)? {
            Next::Idle => Err(failed(format!("no picture within {} s{}", FIRST_PICTURE.as_secs(), self.said()))),
            next => {
                self.waited_for = Some(next);
                Ok(())
            }
        }
    }

    /// What the program said last, to be added to a message.
    fn said(&self) -> String {
        let complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        if complaint.is_empty() { String::new() } else { format!(": {complaint}") }
    }

    /// Why the pictures ended: how the program did, and what it said.
    fn why_ended(&mut self, problem: &str) -> String {
        // It closes its output shortly before it ends.
        let deadline = Instant::now() + Duration::from_secs(2);
        let status = loop {
            match self.child.try_wait() {
                Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(5)),
                status => break status.ok().flatten(),
            }
        };
        // Its last words may still be on their way; what it started itself may keep the pipe open.
        while status.is_some() && !self.listener.is_finished() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        let how = status.map_or_else(|| problem.to_owned(), explain);
        format!("{}: {how}{}", self.description.format, self.said())
    }
}

/// Runs the first of these programs that there is. It gets a process group of its own: Ctrl-C is Kinglet's to answer.
fn spawn(programs: &[String], width: u32, height: u32, fps: f64) -> io::Result<(&str, Child)> {
    let mut missing = io::Error::from(io::ErrorKind::NotFound);
    for program in programs {
        let started = Command::new(program)
            .args(["--nopreview", "--timeout", "0", "--verbose=0", "--codec", "mjpeg", "--flush", "--output", "-"])
            .args(["--width", &width.to_string(), "--height", &height.to_string(), "--framerate", &fps.to_string()])
            // What is left on standard error is what went wrong.
            .env("LIBCAMERA_LOG_LEVELS", "*:ERROR")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn();
        match started {
            Ok(child) => return Ok((program, child)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing = error,
            Err(error) => return Err(error),
        }
    }
    Err(missing)
}

/// Reads what the program says, so that it never waits for a reader, and keeps the last line.
fn listen(stderr: ChildStderr, complaint: Arc<Mutex<String>>) -> io::Result<JoinHandle<()>> {
    let mut lines = BufReader::new(stderr);
    let listen = move || {
        let mut line = Vec::new();
        // A line that is too long comes in parts; when the program has ended, there is nothing more to hear.
        while lines.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let text = String::from_utf8_lossy(&line).trim().to_owned();
            if !text.is_empty() {
                *complaint.lock().unwrap_or_else(PoisonError::into_inner) = text;
            }
            line.clear();
        }
    };
    thread::Builder::new().name("rpicam-errors".to_owned()).spawn(listen)
}

fn failed(problem: String) -> VisionError {
    VisionError::Camera { device: "rpicam".to_owned(), problem }
}

fn explain(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(0), _) => "it ended".to_owned(),
        (Some(code), _) => format!("it failed with status {code}"),
        (None, Some(signal)) => format!("signal {signal} ended it"),
        (None, None) => status.to_string(),
    }
}

/// Ends the program and gives its process back to the system.
fn end(child: &mut Child) {
    // Fails where it has ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}

impl Source for RpiCam {
    fn describe(&self) -> Description {
        self.description.clone()
    }

    fn next(&mut self, timeout: Duration) -> Result<Next> {
        if let Some(next) = self.waited_for.take() {
            return Ok(next);
        }
        self.pictures.next(timeout).map_err(|problem| failed(self.why_ended(&problem)))
    }
}

impl Drop for RpiCam {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode;
    use crate::frame::Rgb;
    use crate::sources::Health;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    /// Stands in for the program: does what the line of `plan` says that belongs to this start of it.
    const SCRIPT: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 9
echo "$*" >>starts
echo $$ >>pids
set -- $(sed -n "$(wc -l <starts)p" plan)
for step; do
  case $step in
    stall) exec sleep 600;;
    die) echo "ERROR: *** no cameras available ***" >&2; exit 255;;
    killed) kill -KILL $$;;
    *) cat "$step.jpg"; sleep 0.3;;
  esac
done
"#;

    struct StandIn(tempfile::TempDir);

    impl StandIn {
        fn new(plan: &str) -> StandIn {
            let folder = tempfile::tempdir().unwrap();
            for width in [16u16, 32, 48] {
                let (mut jpeg, pixels) = (Vec::new(), vec![90; usize::from(width) * 8]);
                let encoder = jpeg_encoder::Encoder::new(&mut jpeg, 80);
                encoder.encode(&pixels, width, 8, jpeg_encoder::ColorType::Luma).unwrap();
                fs::write(folder.path().join(format!("{width}.jpg")), jpeg).unwrap();
            }
            fs::write(folder.path().join("plan"), plan).unwrap();
            let script = folder.path().join("libcamera-vid");
            fs::write(&script, SCRIPT).unwrap();
            fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
            StandIn(folder)
        }

        fn open(&self) -> Result<Box<dyn Source>> {
            let programs = PROGRAMS.map(|program| self.0.path().join(program).to_str().unwrap().to_owned());
            let options = SourceOptions { width: 223, height: 224, fps: Some(29.5), ..SourceOptions::default() };
            open_program(programs.to_vec(), &options)
        }

        fn lines(&self, file: &str) -> Vec<String> {
            fs::read_to_string(self.0.path().join(file)).unwrap_or_default().lines().map(str::to_owned).collect()
        }
    }

    /// The next picture's width and number, and why there was none before it, if so.
    fn next(source: &mut dyn Source) -> (u32, u64, Option<String>) {
        let (deadline, mut trouble) = (Instant::now() + Duration::from_secs(60), None);
        while Instant::now() < deadline {
            match source.next(Duration::from_millis(50)).unwrap() {
                Next::Frame(frame) => {
                    let mut rgb = Rgb::new();
                    decode::picture(&frame.picture, &mut rgb).unwrap();
                    return (rgb.width(), frame.sequence, trouble);
                }
                _ => match source.health() {
                    Health::Live => {}
                    Health::Lost { why, .. } => trouble = Some(why),
                    Health::Stale { .. } => trouble = Some("stale".to_owned()),
                },
            }
        }
        panic!("no picture came: {:?}", source.health());
    }

    #[test]
    fn it_is_started_again_whenever_it_ends_or_stalls_and_ended_with_the_source() {
        let stand_in = StandIn::new("16 32 die\n48 killed\n16 stall\n32 stall\n");
        let mut source = stand_in.open().unwrap();
        assert_eq!(source.describe().size, Some((224, 224)), "sides are even");
        assert_eq!(next(&mut *source), (16, 0, None));
        assert_eq!(next(&mut *source), (32, 1, None));
        let (width, number, trouble) = next(&mut *source);
        assert_eq!((width, number), (48, 2), "numbers go on");
        let trouble = trouble.unwrap();
        assert!(trouble.contains("status 255") && trouble.ends_with("no cameras available ***"), "{trouble}");
        let (width, number, trouble) = next(&mut *source);
        assert_eq!((width, number), (16, 3));
        assert!(trouble.unwrap().contains("signal 9 ended it"));
        let start = Instant::now();
        assert_eq!(next(&mut *source), (32, 4, Some("stale".to_owned())));
        assert!(start.elapsed() > Duration::from_secs(4), "a stall is not called early");
        let starts = stand_in.lines("starts");
        assert_eq!(starts.len(), 4);
        assert!(starts[0].ends_with("--output - --width 224 --height 224 --framerate 29.5"), "{}", starts[0]);
        drop(source);
        for pid in stand_in.lines("pids") {
            assert!(!Path::new("/proc").join(&pid).exists(), "process {pid} was left");
        }
    }

    #[test]
    fn what_finds_no_camera_or_is_missing_is_an_error_at_once() {
        let error = StandIn::new("die\n").open().map(drop).unwrap_err().to_string();
        assert!(error.contains("no cameras available") && !error.contains('\n'), "{error}");
        let missing = StandIn::new("");
        fs::remove_file(missing.0.path().join("libcamera-vid")).unwrap();
        let error = missing.open().map(drop).unwrap_err().to_string();
        assert!(error.contains("sudo apt install rpicam-apps-lite"), "{error}");
    }
}
