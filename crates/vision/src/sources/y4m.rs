//! Video that is not compressed, in the YUV4MPEG2 form of mjpegtools: a line of text, then for each frame a line of
//! text and its planes.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::pacing::Pacer;
use super::{DEFAULT_FPS, Description, Next, Source, SourceOptions};
use crate::color::{YuvColor, YuvRange};
use crate::decode::check_size;
use crate::error::{Result, VisionError};
use crate::frame::{Frame, Picture, PixelFormat, Pixels};

/// The longest line of text that is read.
const MAX_LINE: u64 = 1024;

/// What the first line says.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Header {
    width: u32,
    height: u32,
    format: PixelFormat,
    color: YuvColor,
    fps: Option<f64>,
}

impl Header {
    /// `YUV4MPEG2 W640 H480 F30000:1001 Ip A1:1 C420jpeg XCOLORRANGE=FULL`; order is free, W and H must be there.
    fn parse(line: &str) -> Result<Header> {
        let wrong = |problem: String| VisionError::Video { format: "y4m header", problem };
        let mut words = line.split_ascii_whitespace();
        if words.next() != Some("YUV4MPEG2") {
            return Err(wrong("the file does not begin with YUV4MPEG2".to_owned()));
        }
        let (mut width, mut height, mut fps) = (None, None, None);
        let (mut format, mut color) = (PixelFormat::I420, YuvColor::default());
        for word in words {
            let Some((tag, value)) = word.split_at_checked(1) else {
                return Err(wrong(format!("'{word}' is not a parameter")));
            };
            let number = || value.parse::<u32>().map_err(|_| wrong(format!("'{word}' is not a size")));
            match tag {
                "W" => width = Some(number()?),
                "H" => height = Some(number()?),
                "F" => fps = frame_rate(value),
                "C" => format = chroma(value).ok_or_else(|| unsupported_chroma(value))?,
                "X" if value.eq_ignore_ascii_case("COLORRANGE=FULL") => color.range = YuvRange::Full,
                // Interlacing, the pixels' proportions and other extensions do not change how the bytes lie.
                _ => {}
            }
        }
        let (Some(width), Some(height)) = (width, height) else {
            return Err(wrong("width (W) or height (H) is missing".to_owned()));
        };
        check_size("y4m", width.into(), height.into())?;
        Ok(Header { width, height, format, color, fps })
    }

    fn stride(&self) -> usize {
        self.format.row_bytes(self.width)
    }

    fn frame_bytes(&self) -> usize {
        self.format.picture_bytes(self.height, self.stride())
    }
}

/// `30000:1001`; nothing where it is 0:0 (unknown) or absurd.
fn frame_rate(value: &str) -> Option<f64> {
    let (numerator, denominator) = value.split_once(':')?;
    let fps = f64::from(numerator.parse::<u32>().ok()?) / f64::from(denominator.parse::<u32>().ok()?);
    (0.01..=1000.0).contains(&fps).then_some(fps)
}

/// Where the chroma samples of 4:2:0 lie (jpeg, mpeg2, paldv) makes no difference to the nearest one that is taken.
fn chroma(value: &str) -> Option<PixelFormat> {
    match value {
        "420" | "420jpeg" | "420mpeg2" | "420paldv" => Some(PixelFormat::I420),
        "422" => Some(PixelFormat::I422),
        "444" => Some(PixelFormat::I444),
        "mono" => Some(PixelFormat::Gray8),
        _ => None,
    }
}

fn unsupported_chroma(value: &str) -> VisionError {
    let problem = format!(
        "pixel format C{value} is not supported; C420jpeg, C420mpeg2, C420paldv, C420, C422, C444 and Cmono are"
    );
    VisionError::Video { format: "y4m header", problem }
}

/// The source.
#[derive(Debug)]
pub(super) struct Y4m {
    path: PathBuf,
    file: BufReader<File>,
    header: Header,
    pacer: Pacer,
    repeat: bool,
    sequence: u64,
}

impl Y4m {
    pub(super) fn open(path: &Path, options: &SourceOptions) -> Result<Y4m> {
        let (file, header) = begin(path)?;
        let fps = options.fps.or(header.fps).unwrap_or(DEFAULT_FPS);
        let pacer = Pacer::new(options.clock.clone(), fps);
        Ok(Y4m { path: path.to_owned(), file, header, pacer, repeat: options.repeat, sequence: 0 })
    }

    /// The next frame's planes; nothing at the end, also where the last frame was cut short.
    fn read_frame(&mut self) -> Result<Option<Vec<u8>>> {
        let unreadable = |error| VisionError::File { path: self.path.clone(), error };
        let mut line = Vec::new();
        (&mut self.file).take(MAX_LINE).read_until(b'\n', &mut line).map_err(unreadable)?;
        if line.is_empty() {
            return Ok(None);
        }
        if !line.starts_with(b"FRAME") || (line.last() != Some(&b'\n') && line.len() as u64 == MAX_LINE) {
            let problem = format!("frame {} does not begin with FRAME", self.sequence);
            return Err(VisionError::Video { format: "y4m", problem }.in_file(&self.path));
        }
        // Memory grows with the bytes that are really there.
        let mut planes = Vec::new();
        let wanted = self.header.frame_bytes();
        (&mut self.file).take(wanted as u64).read_to_end(&mut planes).map_err(unreadable)?;
        Ok((planes.len() == wanted).then_some(planes))
    }
}

/// Opens the file and reads its first line.
fn begin(path: &Path) -> Result<(BufReader<File>, Header)> {
    let unreadable = |error| VisionError::File { path: path.to_owned(), error };
    let mut file = BufReader::with_capacity(1 << 16, File::open(path).map_err(unreadable)?);
    let mut line = Vec::new();
    (&mut file).take(MAX_LINE).read_until(b'\n', &mut line).map_err(unreadable)?;
    let header = Header::parse(&String::from_utf8_lossy(&line)).map_err(|problem| problem.in_file(path))?;
    Ok((file, header))
}

impl Source for Y4m {
    fn describe(&self) -> Description {
        Description {
            name: self.path.display().to_string(),
            format: format!("y4m {:?}", self.header.format),
            size: Some((self.header.width, self.header.height)),
            fps: Some(self.pacer.fps()),
        }
    }

    fn next(&mut self, timeout: Duration) -> Result<Next> {
        let Some(captured) = self.pacer.wait(timeout) else { return Ok(Next::Idle) };
        let mut planes = self.read_frame()?;
        if planes.is_none() && self.repeat && self.sequence > 0 {
            (self.file, self.header) = begin(&self.path)?;
            planes = self.read_frame()?;
        }
        let Some(planes) = planes else {
            if self.sequence == 0 {
                let problem = "there is not one whole frame in it".to_owned();
                return Err(VisionError::Video { format: "y4m", problem }.in_file(&self.path));
            }
            return Ok(Next::End);
        };
        let Header { width, height, format, color, .. } = self.header;
        let pixels = Pixels::new(format, width, height, self.header.stride(), planes.into())?.with_color(color);
        let sequence = self.sequence;
        self.sequence += 1;
        Ok(Next::Frame(Frame { sequence, captured, picture: Picture::Pixels(pixels), name: None }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_say_what_they_say() {
        let header = Header::parse("YUV4MPEG2 W640 H480 F30000:1001 Ip A1:1 C420jpeg XYSCSS=420JPEG\n").unwrap();
        assert_eq!((header.width, header.height, header.format), (640, 480, PixelFormat::I420));
        assert!((header.fps.unwrap() - 29.97).abs() < 0.001);
        assert_eq!(header.frame_bytes(), 640 * 480 * 3 / 2);
        let odd = Header::parse("YUV4MPEG2 H3 W5 C422 XCOLORRANGE=FULL F0:0\n").unwrap();
        assert_eq!((odd.format, odd.color.range, odd.fps), (PixelFormat::I422, YuvRange::Full, None));
        assert_eq!(odd.frame_bytes(), (5 + 3 + 3) * 3);
        assert_eq!(Header::parse("YUV4MPEG2 W2 H2 Cmono").unwrap().frame_bytes(), 4);
    }

    #[test]
    fn hostile_headers_are_refused_by_name() {
        for (line, expected) in [
            ("RIFF", "YUV4MPEG2"),
            ("YUV4MPEG2 W640", "missing"),
            ("YUV4MPEG2 W-1 H2", "W-1"),
            ("YUV4MPEG2 W4294967295 H4294967295", "too large"),
            ("YUV4MPEG2 W99999999999 H2", "W99999999999"),
            ("YUV4MPEG2 W0 H2", "no pixels"),
            ("YUV4MPEG2 W2 H2 C420p10", "C420p10"),
            ("YUV4MPEG2 W2 H2 C444alpha", "C444alpha"),
            ("YUV4MPEG2 W2 H2 \u{1F980}", "not a parameter"),
        ] {
            let error = Header::parse(line).unwrap_err().to_string();
            assert!(error.contains(expected), "{line}: {error}");
        }
    }
}
