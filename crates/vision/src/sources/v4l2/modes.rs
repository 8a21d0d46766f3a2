//! What a camera offers, and which of it to take: the nearest size, at a rate that holds, without compression where
//! there is a choice.

use super::abi::FourCc;
use crate::frame::PixelFormat;

/// How a camera codes its pictures, as far as it is understood here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Raw(PixelFormat),
    Jpeg,
}

/// Best first, where size and rate are the same: what needs no decoding comes before JPEG.
const CODINGS: [(FourCc, Coding); 6] = [
    (FourCc::new(b"YUYV"), Coding::Raw(PixelFormat::Yuyv)),
    (FourCc::new(b"NV12"), Coding::Raw(PixelFormat::Nv12)),
    (FourCc::new(b"YU12"), Coding::Raw(PixelFormat::I420)),
    (FourCc::new(b"RGB3"), Coding::Raw(PixelFormat::Rgb8)),
    (FourCc::new(b"MJPG"), Coding::Jpeg),
    (FourCc::new(b"JPEG"), Coding::Jpeg),
];

/// The supported formats, for messages.
pub(super) const SUPPORTED: &str = "YUYV, NV12, YU12, RGB3 and MJPG are supported";

impl Coding {
    pub(super) fn of(fourcc: FourCc) -> Option<Coding> {
        CODINGS.iter().find(|(known, _)| *known == fourcc).map(|(_, coding)| *coding)
    }
}

/// Sizes that a format comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sizes {
    One(u32, u32),
    /// Minimum, maximum and step, for width and for height.
    Range([u32; 3], [u32; 3]),
}

impl Sizes {
    /// The size in here that is nearest to what is asked: large enough, where that can be had.
    pub(super) fn nearest(self, width: u32, height: u32) -> (u32, u32) {
        let in_range = |asked: u32, [min, max, step]: [u32; 3]| {
            let steps = asked.saturating_sub(min).div_ceil(step.max(1));
            let reached = u64::from(min) + u64::from(steps) * u64::from(step.max(1));
            if reached <= u64::from(max) { reached as u32 } else { max.max(min) }
        };
        match self {
            Sizes::One(width, height) => (width, height),
            Sizes::Range(widths, heights) => (in_range(width, widths), in_range(height, heights)),
        }
    }
}

/// One thing that a camera can do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Mode {
    pub fourcc: FourCc,
    pub width: u32,
    pub height: u32,
    /// The most frames a second, where the driver tells.
    pub fps: Option<f64>,
}

/// A rate that comes so near to what is asked is as good: 30 frames a second do for 36.
const RATE_HOLDS: f64 = 0.8;

/// Picks the mode for `width` × `height` at `fps`.
///
/// First comes a rate that holds (of those that the camera can do at all), then a size that is large enough, then the
/// smallest of these (or the largest of those that are too small), then a coding that costs nothing to decode. USB 2
/// has no room for large uncompressed pictures at full rate; cameras say so by lower rates, and so MJPEG is taken
/// there.
pub(super) fn choose(modes: &[Mode], width: u32, height: u32, fps: f64) -> Option<Mode> {
    let rank = |mode: &Mode| CODINGS.iter().position(|(fourcc, _)| *fourcc == mode.fourcc);
    let rate = |mode: &Mode| mode.fps.unwrap_or(fps);
    let best_rate = modes.iter().filter(|mode| rank(mode).is_some()).map(rate).fold(0.0, f64::max);
    let enough = best_rate.min(fps) * RATE_HOLDS;
    let key = |mode: &Mode| {
        let area = i64::from(mode.width) * i64::from(mode.height);
        let large_enough = mode.width >= width && mode.height >= height;
        (rate(mode) < enough, !large_enough, if large_enough { area } else { -area }, rank(mode))
    };
    modes.iter().filter(|mode| rank(mode).is_some()).min_by_key(|mode| key(mode)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(letters: &[u8; 4], width: u32, height: u32, fps: f64) -> Mode {
        Mode { fourcc: FourCc::new(letters), width, height, fps: Some(fps) }
    }

    /// As a usual webcam lists itself.
    fn webcam() -> Vec<Mode> {
        vec![
            mode(b"MJPG", 1920, 1080, 30.0),
            mode(b"MJPG", 1280, 720, 60.0),
            mode(b"MJPG", 640, 480, 30.0),
            mode(b"MJPG", 320, 240, 30.0),
            mode(b"YUYV", 1920, 1080, 5.0),
            mode(b"YUYV", 1280, 720, 10.0),
            mode(b"YUYV", 640, 480, 30.0),
            mode(b"YUYV", 320, 240, 30.0),
            mode(b"YUYV", 160, 120, 30.0),
            mode(b"H264", 320, 240, 90.0),
        ]
    }

    #[test]
    fn the_smallest_size_that_is_large_enough_without_compression() {
        assert_eq!(choose(&webcam(), 224, 224, 36.0), Some(mode(b"YUYV", 320, 240, 30.0)));
        assert_eq!(choose(&webcam(), 320, 240, 30.0), Some(mode(b"YUYV", 320, 240, 30.0)));
        assert_eq!(choose(&webcam(), 321, 100, 30.0), Some(mode(b"YUYV", 640, 480, 30.0)));
    }

    #[test]
    fn mjpeg_where_the_bus_has_no_room_for_raw_pictures() {
        assert_eq!(choose(&webcam(), 1280, 720, 30.0), Some(mode(b"MJPG", 1280, 720, 60.0)));
        assert_eq!(choose(&webcam(), 1280, 720, 10.0), Some(mode(b"YUYV", 1280, 720, 10.0)));
    }

    #[test]
    fn a_rate_that_only_a_larger_size_has() {
        assert_eq!(choose(&webcam(), 224, 224, 60.0), Some(mode(b"MJPG", 1280, 720, 60.0)));
    }

    #[test]
    fn the_largest_where_all_are_too_small() {
        assert_eq!(choose(&webcam(), 4000, 3000, 30.0), Some(mode(b"MJPG", 1920, 1080, 30.0)));
    }

    #[test]
    fn nothing_where_nothing_is_understood() {
        assert_eq!(choose(&[mode(b"H264", 640, 480, 30.0), mode(b"pBAA", 640, 480, 30.0)], 224, 224, 36.0), None);
    }

    #[test]
    fn a_driver_that_tells_no_rate_is_believed_to_hold_it() {
        let silent = Mode { fps: None, ..mode(b"NV12", 640, 480, 0.0) };
        assert_eq!(choose(&[silent, mode(b"MJPG", 640, 480, 30.0)], 224, 224, 36.0), Some(silent));
    }

    #[test]
    fn ranges_are_met_on_their_steps() {
        let range = Sizes::Range([32, 1920, 2], [32, 1080, 8]);
        assert_eq!(range.nearest(224, 224), (224, 224));
        assert_eq!(range.nearest(223, 225), (224, 232));
        assert_eq!(range.nearest(1, 5000), (32, 1080));
        assert_eq!(Sizes::Range([16, 16, 0], [9, 4, 0]).nearest(u32::MAX, 20), (16, 9), "a driver that makes no sense");
        assert_eq!(Sizes::Range([1, u32::MAX, 7], [1, u32::MAX, 1]).nearest(u32::MAX, 1).1, 1);
    }
}
