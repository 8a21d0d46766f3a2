//! V4L2 cameras: found by what they can do and never by their number, asked for the nearest mode, and read so that the
//! newest frame wins.
//!
//! The wrapper around the kernel is our own: `v4l2r` and `v4l` generate theirs with bindgen, which wants libclang on
//! the building machine; `linuxvideo` does not, but its streams hand out neither time stamps nor frame numbers, which
//! are what a live picture is about. Capturing needs thirteen requests of an interface that never changes.

mod abi;
mod device;
mod modes;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use self::abi::{FourCc, Fraction, PixelFormatAbi, cap, flag};
use self::device::{Device, Filled, Stream, Wait};
use self::modes::{Coding, Mode, Sizes};
use super::reopening::Reopening;
use super::{DEFAULT_FPS, Description, Next, Source, SourceOptions};
use crate::color::{YuvColor, YuvMatrix, YuvRange};
use crate::error::{Result, VisionError};
use crate::frame::{Frame, Picture, Pixels};
use crate::jpeg;

/// Enough for the driver to fill one while one is read, and no more: each further one could only grow old.
const BUFFERS: u32 = 4;
/// A camera that gives nothing for so long stalls.
const PATIENCE: Duration = Duration::from_secs(2);
/// A time stamp older than this is not believed.
const OLDEST: Duration = Duration::from_secs(10);

/// Opens `camera` (the first one) or `/dev/videoN`; it is opened again when it stalls or vanishes.
pub(super) fn open(spec: &str, options: &SourceOptions) -> Result<Box<dyn Source>> {
    let (spec, wanted) = (spec.to_owned(), options.clone());
    let open = Box::new(move || {
        let path = if spec == "camera" { first_camera()? } else { PathBuf::from(&spec) };
        Ok(Box::new(Camera::open(&path, &wanted)?) as Box<dyn Source>)
    });
    Ok(Box::new(Reopening::open(open, PATIENCE, options.clock.clone())?))
}

/// A video device of this machine, for lists and for advice.
#[derive(Debug, Clone, PartialEq)]
pub struct CameraInfo {
    /// The device file.
    pub path: PathBuf,
    /// The name that the driver gives the device.
    pub card: String,
    /// The driver's name.
    pub driver: String,
    /// Why it cannot be used as a camera, if so.
    pub unusable: Option<String>,
    /// What it can do, a line for each format that is understood: `YUYV: 640x480 to 30 fps, 1280x720 to 10 fps`.
    pub modes: Vec<String>,
}

/// All video devices of this machine, in the order of their numbers.
pub fn cameras() -> Vec<CameraInfo> {
    cameras_in(Path::new("/dev"))
}

/// The same of another folder than `/dev`.
pub fn cameras_in(folder: &Path) -> Vec<CameraInfo> {
    let mut paths: Vec<(u32, PathBuf)> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let number = path.file_name()?.to_str()?.strip_prefix("video")?.parse().ok()?;
            Some((number, path))
        })
        .collect();
    paths.sort();
    paths.into_iter().map(|(_, path)| look_at(path)).collect()
}

fn look_at(path: PathBuf) -> CameraInfo {
    let mut info = CameraInfo { path, card: String::new(), driver: String::new(), unusable: None, modes: Vec::new() };
    let opened = Device::open(&info.path).and_then(|device| Ok((device.capability()?, device)));
    match opened {
        Err(error) => info.unusable = Some(explain(&error)),
        Ok((capability, device)) => {
            info.card = abi::text(&capability.card);
            info.driver = abi::text(&capability.driver);
            info.unusable = why_unusable(&capability);
            if info.unusable.is_none() {
                let understood = device.formats().into_iter().map(|format| FourCc(format.pixel_format));
                let understood = understood.filter(|&fourcc| Coding::of(fourcc).is_some());
                info.modes = understood.map(|fourcc| format_line(&device, fourcc)).collect();
            }
        }
    }
    info
}

fn format_line(device: &Device, fourcc: FourCc) -> String {
    let sizes = sizes_of(device, fourcc).into_iter().map(|sizes| {
        let text = match sizes {
            Sizes::One(width, height) => format!("{width}x{height}"),
            Sizes::Range([min_w, max_w, _], [min_h, max_h, _]) => format!("{min_w}x{min_h} to {max_w}x{max_h}"),
        };
        let (width, height) = sizes.nearest(0, 0);
        let rate = max_rate(device, fourcc, width, height);
        text + &rate.map_or(String::new(), |fps| format!(" to {} fps", (fps * 10.0).round() / 10.0))
    });
    format!("{fourcc}: {}", sizes.collect::<Vec<_>>().join(", "))
}

fn first_camera() -> Result<PathBuf> {
    let devices = cameras();
    if let Some(camera) = devices.iter().find(|device| device.unusable.is_none()) {
        return Ok(camera.path.clone());
    }
    let found: Vec<_> = devices
        .iter()
        .map(|device| format!("{} ({})", device.path.display(), device.unusable.as_deref().unwrap_or_default()))
        .collect();
    Err(VisionError::NoCamera(if found.is_empty() {
        "there is no /dev/video device; connect a USB camera, or take a folder of images or a video file as the source"
            .to_owned()
    } else {
        format!("what there is cannot be used: {}", found.join(", "))
    }))
}

/// Device nodes of a Raspberry Pi that look like cameras and are codecs and image processors.
const PROCESSORS: [&str; 6] = ["bcm2835-codec", "bcm2835-isp", "pispbe", "rpivid", "rpi-hevc-dec", "hevc_d"];
/// The receivers of CSI cameras, which give what the sensor sees before it is made a picture.
const RAW_SENSORS: [&str; 2] = ["unicam", "rp1-cfe"];

fn why_unusable(capability: &abi::Capability) -> Option<String> {
    // A driver of several nodes says in `device_caps` what this one can do.
    let has_own = capability.capabilities & cap::DEVICE_CAPS != 0;
    let caps = if has_own { capability.device_caps } else { capability.capabilities };
    let driver = abi::text(&capability.driver);
    if PROCESSORS.iter().any(|processor| driver.starts_with(processor)) {
        return Some(format!("{driver} is a codec or an image processor, not a camera"));
    }
    if RAW_SENSORS.iter().any(|receiver| driver.starts_with(receiver)) {
        return Some(format!(
            "{driver} is a CSI camera's raw sensor, whose pictures libcamera has to make first: use --source rpicam"
        ));
    }
    let captures = caps & cap::VIDEO_CAPTURE != 0 && caps & (cap::VIDEO_M2M | cap::VIDEO_M2M_MPLANE) == 0;
    if !captures {
        return Some("it does not capture video".to_owned());
    }
    (caps & cap::STREAMING == 0).then(|| "its driver cannot stream into memory".to_owned())
}

/// What to do about an error of a device.
fn explain(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ENOENT) => "there is no such device; is the camera connected?".to_owned(),
        Some(libc::EACCES | libc::EPERM) => {
            "no permission; add yourself to the group video (sudo usermod -aG video $USER) and log in again".to_owned()
        }
        Some(libc::EBUSY) => "another program is using the camera; close it and try again".to_owned(),
        Some(libc::ENODEV | libc::ENXIO | libc::ESHUTDOWN) => "the camera was unplugged".to_owned(),
        Some(libc::ENOTTY | libc::EINVAL) => "it is no video device, or its driver is broken".to_owned(),
        Some(libc::ENOSPC) => {
            "the USB bus has no room left for this camera; use another port, or a smaller size".to_owned()
        }
        _ => error.to_string(),
    }
}

/// The sizes that a device lists for a format.
fn sizes_of(device: &Device, fourcc: FourCc) -> Vec<Sizes> {
    let sizes = device.frame_sizes(fourcc.0).into_iter();
    let sizes = sizes.map(|found| {
        let [a, b, c, d, e, f] = found.size;
        if found.kind == abi::DISCRETE { Sizes::One(a, b) } else { Sizes::Range([a, b, c], [d, e, f]) }
    });
    sizes.collect()
}

/// The most frames a second in one mode, where the driver tells.
fn max_rate(device: &Device, fourcc: FourCc, width: u32, height: u32) -> Option<f64> {
    // Of a range, the first interval is the shortest; of discrete ones, any can be.
    let intervals = device.frame_intervals(fourcc.0, width, height);
    intervals.iter().filter_map(|interval| frames_a_second(interval.intervals[0])).reduce(f64::max)
}

fn frames_a_second(interval: Fraction) -> Option<f64> {
    let fps = f64::from(interval.denominator) / f64::from(interval.numerator);
    (fps.is_finite() && fps > 0.0).then_some(fps)
}

/// A camera that streams.
#[derive(Debug)]
struct Camera {
    stream: Stream,
    description: Description,
    format: Negotiated,
    last_sequence: Option<u32>,
    /// The number of the next frame; those that were dropped have one, too.
    number: u64,
    damage_was_said: bool,
}

/// How the driver lays a picture out.
#[derive(Debug, Clone, Copy)]
struct Negotiated {
    coding: Coding,
    width: u32,
    height: u32,
    stride: usize,
    color: YuvColor,
}

impl Camera {
    fn open(path: &Path, options: &SourceOptions) -> Result<Camera> {
        let wrong = |problem: String| VisionError::Camera { device: path.display().to_string(), problem };
        let failed = |error: io::Error| wrong(explain(&error));
        let device = Device::open(path).map_err(failed)?;
        let capability = device.capability().map_err(failed)?;
        if let Some(why) = why_unusable(&capability) {
            return Err(wrong(why));
        }
        let name = format!("{} ({})", abi::text(&capability.card), path.display());
        let fps = options.fps.unwrap_or(DEFAULT_FPS);
        let mode = choose(&device, options.width, options.height, fps).map_err(wrong)?;
        Camera::start(device, mode, fps, name).map_err(wrong)
    }

    /// Asks for `mode`, reads back what the driver made of it, and begins to stream.
    fn start(device: Device, mode: Mode, fps: f64, name: String) -> Result<Camera, String> {
        let taken = device.set_format(asked_format(&mode)).map_err(|error| explain(&error))?;
        let format = negotiated(&taken)?;
        // Thousandths make every usual rate exact enough, NTSC's included.
        let interval = Fraction { numerator: 1000, denominator: (fps * 1000.0).round().max(1.0) as u32 };
        let description = Description {
            name,
            format: FourCc(taken.pixel_format).to_string(),
            size: Some((taken.width, taken.height)),
            fps: device.set_interval(interval).and_then(frames_a_second),
        };
        let stream = device.start(BUFFERS).map_err(|error| explain(&error))?;
        Ok(Camera { stream, description, format, last_sequence: None, number: 0, damage_was_said: false })
    }

    /// Takes all that is filled, and keeps the newest that is whole.
    fn newest(&mut self) -> io::Result<Option<Filled>> {
        let mut newest: Option<Filled> = None;
        while let Some(filled) = self.stream.dequeue()? {
            self.count(filled.sequence);
            let older = if filled.flags & flag::ERROR != 0 { Some(filled) } else { newest.replace(filled) };
            if let Some(older) = older {
                self.stream.requeue(older)?;
            }
        }
        Ok(newest)
    }

    /// Keeps the count of frames by the driver's, whose gaps are frames that it had no buffer for.
    fn count(&mut self, sequence: u32) {
        let step = self.last_sequence.map_or(1, |last| sequence.wrapping_sub(last));
        // Some drivers do not count, and some begin anew.
        let step = if (1..10_000).contains(&step) { u64::from(step) } else { 1 };
        self.number += step;
        self.last_sequence = Some(sequence);
    }

    fn picture(&mut self, filled: &Filled) -> Result<Picture> {
        let bytes = self.stream.bytes(filled);
        match self.format.coding {
            Coding::Jpeg => {
                let problem = || "the camera sent an incomplete frame".to_owned();
                let whole =
                    jpeg::complete(bytes).ok_or_else(|| VisionError::Picture { format: "JPEG", problem: problem() })?;
                Ok(Picture::Jpeg(whole.into()))
            }
            Coding::Raw(pixel_format) => {
                let Negotiated { width, height, stride, color, .. } = self.format;
                Ok(Picture::Pixels(Pixels::new(pixel_format, width, height, stride, bytes.into())?.with_color(color)))
            }
        }
    }

    fn broken(&self, error: &io::Error) -> VisionError {
        VisionError::Camera { device: self.description.name.clone(), problem: explain(error) }
    }
}

/// The mode to ask for.
fn choose(device: &Device, width: u32, height: u32, fps: f64) -> Result<Mode, String> {
    let mut modes = Vec::new();
    let formats: Vec<_> = device.formats().iter().map(|format| FourCc(format.pixel_format)).collect();
    for &fourcc in formats.iter().filter(|&&fourcc| Coding::of(fourcc).is_some()) {
        let sizes = sizes_of(device, fourcc);
        if sizes.is_empty() {
            // A driver that does not list sizes takes what it can from what it is asked.
            modes.push(Mode { fourcc, width, height, fps: None });
        }
        for sizes in sizes {
            let (width, height) = sizes.nearest(width, height);
            modes.push(Mode { fourcc, width, height, fps: max_rate(device, fourcc, width, height) });
        }
    }
    modes::choose(&modes, width, height, fps).ok_or_else(|| {
        let offered: Vec<_> = formats.iter().map(FourCc::to_string).collect();
        format!("the camera offers {}; {}", offered.join(", "), modes::SUPPORTED)
    })
}

fn asked_format(mode: &Mode) -> PixelFormatAbi {
    PixelFormatAbi {
        width: mode.width,
        height: mode.height,
        pixel_format: mode.fourcc.0,
        field: abi::FIELD_NONE,
        ..bytemuck::Zeroable::zeroed()
    }
}

/// Reads back what the driver made of it.
fn negotiated(taken: &PixelFormatAbi) -> Result<Negotiated, String> {
    let fourcc = FourCc(taken.pixel_format);
    let coding = Coding::of(fourcc).ok_or_else(|| format!("the camera insists on {fourcc}; {}", modes::SUPPORTED))?;
    let stride = match coding {
        // Some drivers leave it 0 for rows without padding.
        Coding::Raw(format) => (taken.bytes_per_line as usize).max(format.row_bytes(taken.width)),
        Coding::Jpeg => 0,
    };
    Ok(Negotiated { coding, width: taken.width, height: taken.height, stride, color: color(taken) })
}

/// What the driver says of its YUV, or the kernel's documented default where it says nothing.
fn color(taken: &PixelFormatAbi) -> YuvColor {
    let matrix = match (taken.ycbcr_enc, taken.colorspace) {
        (abi::YCBCR_ENC_601, _) => YuvMatrix::Bt601,
        (abi::YCBCR_ENC_709, _) | (0, abi::COLORSPACE_REC709) => YuvMatrix::Bt709,
        _ => YuvMatrix::Bt601,
    };
    let range = match (taken.quantization, taken.colorspace) {
        (abi::QUANTIZATION_LIMITED, _) => YuvRange::Limited,
        (abi::QUANTIZATION_FULL, _) | (0, abi::COLORSPACE_JPEG) => YuvRange::Full,
        _ => YuvRange::Limited,
    };
    YuvColor { matrix, range }
}

/// When a frame was captured: by the driver's stamp where it is of the clock that `Instant` has, else now.
fn captured(filled: &Filled) -> Instant {
    let now = Instant::now();
    if filled.flags & flag::TIMESTAMP_MASK != flag::TIMESTAMP_MONOTONIC {
        return now;
    }
    match device::monotonic_now().checked_sub(filled.timestamp) {
        Some(age) if age < OLDEST => now.checked_sub(age).unwrap_or(now),
        _ => now,
    }
}

impl Source for Camera {
    fn describe(&self) -> Description {
        self.description.clone()
    }

    fn next(&mut self, timeout: Duration) -> Result<Next> {
        match self.stream.wait(timeout).map_err(|error| self.broken(&error))? {
            Wait::Ready => {}
            Wait::TimedOut => return Ok(Next::Idle),
            Wait::Broken => return Err(self.broken(&io::Error::from_raw_os_error(libc::ENODEV))),
        }
        let Some(filled) = self.newest().map_err(|error| self.broken(&error))? else { return Ok(Next::Idle) };
        let (captured, sequence) = (captured(&filled), self.number - 1);
        let picture = self.picture(&filled);
        self.stream.requeue(filled).map_err(|error| self.broken(&error))?;
        match picture {
            Ok(picture) => Ok(Next::Frame(Frame { sequence, captured, picture, name: None })),
            Err(damage) => {
                let said = std::mem::replace(&mut self.damage_was_said, true);
                Ok(if said { Next::Idle } else { Next::Skipped(damage) })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode;
    use crate::frame::Rgb;

    fn capability(driver: &str, capabilities: u32, device_caps: u32) -> abi::Capability {
        let mut capability: abi::Capability = bytemuck::Zeroable::zeroed();
        capability.driver[..driver.len()].copy_from_slice(driver.as_bytes());
        (capability.capabilities, capability.device_caps) = (capabilities, device_caps);
        capability
    }

    #[test]
    fn cameras_are_told_from_other_devices_by_what_they_can_do() {
        let camera = cap::VIDEO_CAPTURE | cap::STREAMING;
        let webcam = capability("uvcvideo", camera | cap::DEVICE_CAPS, camera);
        assert_eq!(why_unusable(&webcam), None);
        assert_eq!(why_unusable(&capability("old", camera, 0)), None, "before there were device_caps");
        let metadata = capability("uvcvideo", camera | cap::DEVICE_CAPS, 0x0080_0000 | cap::STREAMING);
        assert!(why_unusable(&metadata).unwrap().contains("does not capture"));
        let codec = capability("bcm2835-codec", camera, 0);
        assert!(why_unusable(&codec).unwrap().contains("not a camera"));
        let sensor = capability("rp1-cfe", camera, 0);
        assert!(why_unusable(&sensor).unwrap().contains("--source rpicam"));
        let both_ways = capability("vim2m", camera | cap::VIDEO_M2M, 0);
        assert!(why_unusable(&both_ways).is_some());
        assert!(why_unusable(&capability("readonly", cap::VIDEO_CAPTURE, 0)).unwrap().contains("stream"));
    }

    #[test]
    fn errors_say_what_to_do() {
        for (errno, word) in [
            (libc::ENOENT, "connected"),
            (libc::EACCES, "group video"),
            (libc::EBUSY, "another program"),
            (libc::ENODEV, "unplugged"),
            (libc::ENOSPC, "USB bus"),
        ] {
            let text = explain(&io::Error::from_raw_os_error(errno));
            assert!(text.contains(word) && !text.contains('\n'), "{text}");
        }
    }

    #[test]
    fn a_file_that_is_no_camera_is_refused() {
        let error = Camera::open(Path::new("/dev/null"), &SourceOptions::default()).unwrap_err().to_string();
        assert!(error.contains("/dev/null") && error.contains("no video device"), "{error}");
        let error = Camera::open(Path::new("/dev/video99"), &SourceOptions::default()).unwrap_err().to_string();
        assert!(error.contains("/dev/video99") && error.contains("no such device"), "{error}");
    }

    /// The kernel's test driver shows bars of color in every format. Needs such a device: `modprobe vivid`, and its
    /// path in KINGLET_VIVID.
    #[test]
    fn the_kernels_test_camera_looks_the_same_in_every_format() {
        let Some(path) = std::env::var_os("KINGLET_VIVID").map(PathBuf::from) else {
            eprintln!("skipped: KINGLET_VIVID is not set");
            return;
        };
        let bars = [[1, 1, 1], [1, 1, 0], [0, 1, 1], [0, 1, 0], [1, 0, 1], [1, 0, 0], [0, 0, 1], [0, 0, 0]];
        for letters in [b"YUYV", b"NV12", b"YU12", b"RGB3"] {
            let mode = Mode { fourcc: FourCc::new(letters), width: 320, height: 180, fps: None };
            let device = Device::open(&path).unwrap();
            let mut camera = Camera::start(device, mode, 30.0, "test".to_owned()).unwrap();
            assert_eq!(camera.description.size, Some((320, 180)));
            let mut last: Option<Frame> = None;
            for _ in 0..5 {
                let Next::Frame(frame) = camera.next(Duration::from_secs(20)).unwrap() else { panic!("no frame") };
                assert!(frame.captured.elapsed() < Duration::from_secs(5));
                assert!(last.is_none_or(|last| frame.sequence > last.sequence && frame.captured > last.captured));
                last = Some(frame);
            }
            let mut rgb = Rgb::new();
            decode::picture(&last.unwrap().picture, &mut rgb).unwrap();
            let row = &rgb.bytes()[150 * 320 * 3..151 * 320 * 3];
            for (i, bar) in bars.iter().enumerate() {
                let pixel = &row[(i * 40 + 20) * 3..][..3];
                let expected = bar.map(|on| on * 191);
                assert!(pixel.iter().zip(expected).all(|(&a, b)| a.abs_diff(b) < 8), "{} {i}: {pixel:?}", mode.fourcc);
            }
        }
        let first = Camera::open(&path, &SourceOptions::default()).unwrap();
        let second = Camera::open(&path, &SourceOptions::default()).unwrap_err().to_string();
        assert!(second.contains("another program"), "{second}");
        drop(first);
        Camera::open(&path, &SourceOptions::default()).unwrap();
    }
}
