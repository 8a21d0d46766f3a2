//! Sources that are files: folders of images, y4m and motion JPEG, whole, odd and hostile, on a clock of the test's
//! own.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kinglet_vision::decode;
use kinglet_vision::frame::{Frame, Picture, Rgb};
use kinglet_vision::sources::{self, Clock, Next, Source, SourceOptions};

/// A clock that moves only when somebody sleeps.
#[derive(Debug)]
struct TestClock(Mutex<Instant>);

impl Clock for TestClock {
    fn now(&self) -> Instant {
        *self.0.lock().unwrap()
    }

    fn sleep(&self, duration: Duration) {
        *self.0.lock().unwrap() += duration;
    }
}

fn options(fps: Option<f64>) -> SourceOptions {
    SourceOptions { fps, clock: Arc::new(TestClock(Mutex::new(Instant::now()))), ..SourceOptions::default() }
}

/// A folder that goes away with the test.
struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Scratch {
        Scratch(tempfile::tempdir().unwrap())
    }

    fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn open(&self, name: &str, options: &SourceOptions) -> Box<dyn Source> {
        sources::open(self.0.path().join(name).to_str().unwrap(), options).unwrap()
    }
}

/// A JPEG in one color.
fn jpeg(width: u16, height: u16, color: [u8; 3]) -> Vec<u8> {
    let pixels = color.repeat(usize::from(width) * usize::from(height));
    let mut bytes = Vec::new();
    jpeg_encoder::Encoder::new(&mut bytes, 95).encode(&pixels, width, height, jpeg_encoder::ColorType::Rgb).unwrap();
    bytes
}

fn png(width: u32, height: u32, color: [u8; 3]) -> Vec<u8> {
    let image = image::RgbImage::from_pixel(width, height, image::Rgb(color));
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

const LONG: Duration = Duration::from_secs(60);

fn frame(source: &mut dyn Source) -> Frame {
    match source.next(LONG) {
        Ok(Next::Frame(frame)) => frame,
        other => panic!("no frame but {other:?}"),
    }
}

fn rgb(frame: &Frame) -> Rgb {
    let mut rgb = Rgb::new();
    decode::picture(&frame.picture, &mut rgb).unwrap();
    rgb
}

fn name(frame: &Frame) -> &str {
    frame.name.as_deref().unwrap()
}

fn open_error(path: &Path) -> String {
    sources::open(path.to_str().unwrap(), &options(None)).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn a_folder_is_sorted_paced_and_begins_again() {
    let scratch = Scratch::new();
    let first = jpeg(20, 10, [200, 10, 10]);
    scratch.put("c.png", &png(6, 5, [1, 2, 3]));
    scratch.put("a.JPG", &first);
    scratch.put("b.jpeg", &jpeg(8, 8, [0, 0, 250]));
    scratch.put("notes.txt", b"no image");
    let mut source = scratch.open("", &options(Some(10.0)));
    assert_eq!(source.describe().fps, Some(10.0));
    let frames: Vec<_> = (0..7).map(|_| frame(&mut *source)).collect();
    let names: Vec<_> = frames.iter().map(name).collect();
    assert_eq!(names, ["a.JPG", "b.jpeg", "c.png", "a.JPG", "b.jpeg", "c.png", "a.JPG"]);
    for (i, pair) in frames.windows(2).enumerate() {
        assert_eq!(pair[1].sequence, i as u64 + 1);
        let period = (pair[1].captured - pair[0].captured).as_secs_f64();
        assert!((period - 0.1).abs() < 1e-6, "{period}");
    }
    let Picture::Jpeg(bytes) = &frames[0].picture else { panic!("a JPEG is handed on as it is") };
    assert_eq!(bytes[..], first[..]);
    let picture = rgb(&frames[2]);
    assert_eq!((picture.width(), picture.height(), &picture.bytes()[..3]), (6, 5, &[1, 2, 3][..]));
}

#[test]
fn a_jpeg_that_is_to_be_turned_comes_turned() {
    let scratch = Scratch::new();
    let jpeg = jpeg(16, 8, [250, 0, 0]);
    // An EXIF segment whose one entry is the orientation 6: a quarter turn to the right.
    let exif = b"\xFF\xE1\0\x22Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    scratch.put("0.jpg", &[&jpeg[..2], exif, &jpeg[2..]].concat());
    let picture = rgb(&frame(&mut *scratch.open("", &options(None))));
    assert_eq!((picture.width(), picture.height()), (8, 16));
}

#[test]
fn a_broken_file_is_said_once_and_passed_over() {
    let scratch = Scratch::new();
    let whole = jpeg(16, 16, [9, 99, 9]);
    scratch.put("0.jpg", &whole);
    scratch.put("1.jpg", &whole[..whole.len() / 2]);
    scratch.put("2.bmp", b"BM and nothing more");
    let mut source = scratch.open("", &options(None));
    let mut said = Vec::new();
    let mut frames = 0;
    while frames < 5 {
        match source.next(LONG).unwrap() {
            Next::Frame(_) => frames += 1,
            Next::Skipped(why) => said.push(why.to_string()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("1.jpg") && said[0].contains("cut short"), "{}", said[0]);
    assert!(said[1].contains("2.bmp"), "{}", said[1]);
}

#[test]
fn a_folder_in_which_nothing_can_be_read_is_an_error() {
    let scratch = Scratch::new();
    scratch.put("0.jpg", b"none");
    scratch.put("1.png", b"");
    let mut source = scratch.open("", &options(None));
    assert!(matches!(source.next(LONG), Ok(Next::Skipped(_))));
    assert!(matches!(source.next(LONG), Ok(Next::Skipped(_))));
    let error = source.next(LONG).unwrap_err().to_string();
    assert!(error.contains("none of its 2 files") && error.contains("1.png: empty"), "{error}");
}

#[test]
fn what_cannot_be_opened_is_said_in_one_clear_line() {
    let scratch = Scratch::new();
    let empty = open_error(scratch.0.path());
    assert!(empty.contains("no images") && empty.contains(".jpeg"), "{empty}");
    let unknown = open_error(&scratch.put("film.avi", b""));
    assert!(unknown.contains("film.avi") && unknown.contains("/dev/videoN"), "{unknown}");
    let missing = open_error(&scratch.0.path().join("film.y4m"));
    assert!(missing.contains("film.y4m") && missing.contains("No such file"), "{missing}");
    let folder = open_error(&scratch.0.path().join("photos"));
    assert!(folder.contains("photos") && folder.contains("not found"), "{folder}");
    let https = open_error(Path::new("https://camera/stream"));
    assert!(https.contains("http://"), "{https}");
    let slow = sources::open(scratch.0.path().to_str().unwrap(), &options(Some(0.0))).map(|_| ()).unwrap_err();
    assert!(slow.to_string().contains("0.01 to 1000"), "{slow}");
    for error in [empty, unknown, missing, folder, https] {
        assert!(!error.contains('\n'), "{error}");
    }
}

/// A y4m of gray frames, each brighter than the last.
fn y4m(frames: u8, parameters: &str) -> Vec<u8> {
    let mut bytes = format!("YUV4MPEG2 W6 H4 {parameters}\n").into_bytes();
    for i in 0..frames {
        bytes.extend(b"FRAME Ix\n");
        bytes.extend([16 + i; 24]);
        bytes.extend([128; 12]);
    }
    bytes
}

#[test]
fn y4m_has_its_own_pace_and_an_end() {
    let scratch = Scratch::new();
    scratch.put("film.y4m", &y4m(3, "F25:1 C420mpeg2"));
    let mut source = scratch.open("film.y4m", &options(None));
    assert_eq!(source.describe().size, Some((6, 4)));
    let frames: Vec<_> = (0..3).map(|_| frame(&mut *source)).collect();
    assert!(matches!(source.next(LONG), Ok(Next::End)));
    assert!(((frames[2].captured - frames[1].captured).as_secs_f64() - 0.04).abs() < 1e-6);
    for (frame, gray) in frames.iter().zip([0u8, 1, 2]) {
        assert_eq!(rgb(frame).bytes(), [gray; 72]);
    }

    let repeat = SourceOptions { repeat: true, ..options(Some(50.0)) };
    let mut source = scratch.open("film.y4m", &repeat);
    let frames: Vec<_> = (0..8).map(|_| frame(&mut *source)).collect();
    assert_eq!(rgb(&frames[7]).bytes(), [1; 72]);
    assert!(((frames[2].captured - frames[1].captured).as_secs_f64() - 0.02).abs() < 1e-6, "the user's pace wins");
}

#[test]
fn a_y4m_cut_anywhere_ends_or_says_what_is_wrong() {
    let scratch = Scratch::new();
    let whole = y4m(2, "C420");
    for length in 0..whole.len() {
        let path = scratch.put("cut.y4m", &whole[..length]);
        let Ok(mut source) = sources::open(path.to_str().unwrap(), &options(None)) else { continue };
        for _ in 0..3 {
            match source.next(LONG) {
                Ok(Next::Frame(frame)) => assert_eq!(rgb(&frame).width(), 6),
                Ok(Next::End) => break,
                Ok(other) => panic!("{other:?}"),
                Err(error) => {
                    assert!(error.to_string().contains("cut.y4m"), "{error}");
                    break;
                }
            }
        }
    }
}

#[test]
fn a_giant_y4m_header_without_bytes_costs_no_memory_and_is_an_error() {
    let scratch = Scratch::new();
    scratch.put("giant.y4m", b"YUV4MPEG2 W10000 H10000 C444\nFRAME\nabc");
    let mut source = scratch.open("giant.y4m", &options(None));
    let error = source.next(LONG).unwrap_err().to_string();
    assert!(error.contains("not one whole frame"), "{error}");
}

#[test]
fn motion_jpeg_is_cut_into_its_pictures() {
    let scratch = Scratch::new();
    let (red, blue) = (jpeg(16, 8, [250, 0, 0]), jpeg(8, 16, [0, 0, 250]));
    let film = [&b"\0\0junk"[..], &red, &blue, b"\0\0\0", &red, &blue[..blue.len() - 9]].concat();
    scratch.put("film.mjpeg", &film);
    let mut source = scratch.open("film.mjpeg", &options(Some(20.0)));
    let frames: Vec<_> = (0..3).map(|_| frame(&mut *source)).collect();
    assert!(matches!(source.next(LONG), Ok(Next::End)), "what was cut short is the end");
    for (frame, expected) in frames.iter().zip([&red, &blue, &red]) {
        let Picture::Jpeg(bytes) = &frame.picture else { panic!("JPEG stays JPEG") };
        assert_eq!(bytes[..], expected[..]);
    }
    scratch.put("none.mjpg", &red[..30]);
    let error = scratch.open("none.mjpg", &options(None)).next(LONG).unwrap_err().to_string();
    assert!(error.contains("none.mjpg") && error.contains("not one whole JPEG"), "{error}");
}
