//! Draws what was found into a picture: boxes with labels, skeletons, masks. Sizes follow the picture's.

mod font;

use crate::frame::Rgb;
use crate::postprocess::{Bounds, COCO_SKELETON, Detection, KEYPOINT_SCORE, Outline};
use crate::segmenter::Mask;

/// Red, green, blue.
pub type Color = [u8; 3];

const WHITE: Color = [255; 3];
const BLACK: Color = [0; 3];
/// How much of a mask's color there is in a pixel that it covers, of 256.
const MASK_SHARE: u32 = 128;

/// A color for a class of objects: bright, and neighbouring classes far apart, by turns of the golden angle.
pub fn object_color(class: usize) -> Color {
    // Only the fraction of the turn matters; it is computed in integers, so that large classes keep theirs.
    let hue = (class as u32).wrapping_mul(0x9E37_79B9) as f32 / 2f32.powi(32) * 6.0;
    let channel = |shift: f32| {
        let distance = ((hue + shift).rem_euclid(6.0) - 3.0).abs() - 1.0;
        (255.0 * (0.25 + 0.75 * distance.clamp(0.0, 1.0))) as u8
    };
    [channel(0.0), channel(4.0), channel(2.0)]
}

/// The color of a class in masks, as PASCAL VOC defines it: the bits of the number, three at a time, are the highest
/// bits of red, green and blue.
pub fn class_color(class: usize) -> Color {
    let channel =
        |first: usize| (0..8).fold(0, |color, bit| color | (class >> (3 * bit + first) & 1) << (7 - bit)) as u8;
    [channel(0), channel(1), channel(2)]
}

/// Draws objects: their pixels where these are known, skeletons, boxes, and labels with scores.
pub fn detections(image: &mut Rgb, detections: &[Detection]) {
    let mut canvas = Canvas::new(image);
    for detection in detections {
        if let Some(outline) = &detection.outline {
            canvas.fill(outline, object_color(detection.index));
        }
    }
    // The best is drawn last, over the others.
    for detection in detections.iter().rev() {
        let color = object_color(detection.index);
        canvas.frame(&detection.bounds, color);
        canvas.skeleton(detection);
        let label = format!("{} {:.0}%", detection.label, 100.0 * detection.score);
        canvas.label(&label, detection.bounds.x0 as i32, detection.bounds.y0 as i32, color);
    }
}

/// Draws a mask over a picture of its size, and its classes' names in the left upper corner. The background is left as
/// it is.
///
/// # Panics
/// When the mask has another size than the picture.
pub fn mask(image: &mut Rgb, mask: &Mask) {
    assert_eq!((mask.width(), mask.height()), (image.width() as usize, image.height() as usize), "one size");
    let is_shown = |class: usize| class != 0 || !mask.has_background();
    for (pixel, &class) in image.bytes_mut().chunks_exact_mut(3).zip(mask.classes()) {
        if is_shown(class.into()) {
            blend(pixel, legible(class_color(class.into())));
        }
    }
    let mut canvas = Canvas::new(image);
    let mut y = 0;
    for share in mask.shares().iter().filter(|share| is_shown(share.index)) {
        let text = format!("{} {:.0}%", share.label, 100.0 * share.share);
        canvas.text_on(&text, 0, y, legible(class_color(share.index)));
        y += canvas.text_height();
    }
}

/// Black where there is no background to leave free would be invisible.
fn legible(color: Color) -> Color {
    if color == BLACK { [96; 3] } else { color }
}

fn blend(pixel: &mut [u8], color: Color) {
    for (channel, color) in pixel.iter_mut().zip(color) {
        *channel = ((u32::from(*channel) * (256 - MASK_SHARE) + u32::from(color) * MASK_SHARE) / 256) as u8;
    }
}

/// A picture that is drawn into; what lies outside of it is not drawn.
struct Canvas<'a> {
    width: i32,
    height: i32,
    pixels: &'a mut [u8],
    /// Pixels of a line, and of a pixel of a letter.
    pen: i32,
}

impl<'a> Canvas<'a> {
    fn new(image: &'a mut Rgb) -> Canvas<'a> {
        // Sides are far below the limits of an i32: see `decode::MAX_SIDE`.
        let (width, height) = (image.width() as i32, image.height() as i32);
        Canvas { width, height, pixels: image.bytes_mut(), pen: ((width.max(height) + 200) / 400).max(1) }
    }

    /// Fills the columns x0..x1 and rows y0..y1.
    fn rectangle(&mut self, x0: i32, y0: i32, x1: i32, y1: i32, color: Color) {
        let (x0, x1) = (x0.clamp(0, self.width) as usize, x1.clamp(0, self.width) as usize);
        let (y0, y1) = (y0.clamp(0, self.height) as usize, y1.clamp(0, self.height) as usize);
        for row in self.pixels.chunks_exact_mut(self.width as usize * 3).take(y1).skip(y0) {
            if x0 < x1 {
                row[3 * x0..3 * x1].as_chunks_mut().0.fill(color);
            }
        }
    }

    /// A rectangle's four sides, drawn inwards.
    fn frame(&mut self, bounds: &Bounds, color: Color) {
        let [x0, y0, x1, y1] = [bounds.x0, bounds.y0, bounds.x1, bounds.y1].map(|side| side.round() as i32);
        let pen = self.pen.max(2);
        self.rectangle(x0, y0, x1, y0 + pen, color);
        self.rectangle(x0, y1 - pen, x1, y1, color);
        self.rectangle(x0, y0, x0 + pen, y1, color);
        self.rectangle(x1 - pen, y0, x1, y1, color);
    }

    fn skeleton(&mut self, detection: &Detection) {
        let points = &detection.keypoints;
        let seen = |index: usize| points.get(index).filter(|point| point.score >= KEYPOINT_SCORE);
        // Models place points anywhere; what lies far outside is not drawn, and must not overflow.
        let pixel = |at: f32| at.clamp(-1e6, 1e6) as i32;
        let place = |index: usize| seen(index).map(|point| (pixel(point.x), pixel(point.y)));
        // Other bodies than COCO's have points, and no lines that would be known.
        let bones = if points.len() == 17 { &COCO_SKELETON[..] } else { &[] };
        for &(from, to) in bones {
            if let Some((from, to)) = place(from).zip(place(to)) {
                self.line(from, to, object_color(detection.index));
            }
        }
        for (x, y) in (0..points.len()).filter_map(place) {
            let radius = 2 * self.pen;
            self.rectangle(x - radius, y - radius, x + radius, y + radius, WHITE);
        }
    }

    /// A line as thick as the pen, between points that may lie outside.
    fn line(&mut self, from: (i32, i32), to: (i32, i32), color: Color) {
        let steps = (to.0 - from.0).abs().max((to.1 - from.1).abs());
        // A point far outside must not take forever.
        if steps > 2 * (self.width + self.height) {
            return;
        }
        for step in 0..=steps {
            let at =
                |from: i32, to: i32| from + ((to - from) as i64 * i64::from(step) / i64::from(steps.max(1))) as i32;
            let (x, y) = (at(from.0, to.0), at(from.1, to.1));
            self.rectangle(x - self.pen / 2, y - self.pen / 2, x + (self.pen + 1) / 2, y + (self.pen + 1) / 2, color);
        }
    }

    fn fill(&mut self, outline: &Outline, color: Color) {
        let rows = self.pixels.chunks_exact_mut(self.width as usize * 3).skip(outline.top);
        for (row, inside) in rows.zip(outline.inside.chunks(outline.width.max(1))) {
            let pixels = row.chunks_exact_mut(3).skip(outline.left);
            pixels.zip(inside).filter(|(_, inside)| **inside).for_each(|(pixel, _)| blend(pixel, color));
        }
    }

    fn text_height(&self) -> i32 {
        self.pen * (font::HEIGHT as i32 + 2)
    }

    fn text_width(&self, text: &str) -> i32 {
        self.pen * ((font::WIDTH as i32 + 1) * text.chars().count() as i32 + 2)
    }

    /// A label that sits on the upper left corner of a box, or within it where there is no room above, and that is
    /// moved to the left where it would leave the picture.
    fn label(&mut self, text: &str, x: i32, y: i32, color: Color) {
        let y = if y >= self.text_height() { y - self.text_height() } else { y };
        let x = x.min(self.width - self.text_width(text)).max(0);
        self.text_on(text, x, y, color);
    }

    /// Text on a ground of this color.
    fn text_on(&mut self, text: &str, x: i32, y: i32, ground: Color) {
        self.rectangle(x, y, x + self.text_width(text), y + self.text_height(), ground);
        // Weights of the channels in what the eye takes for light (ITU-R BT.601).
        let [red, green, blue] = ground.map(u32::from);
        let ink = if 299 * red + 587 * green + 114 * blue > 128_000 { BLACK } else { WHITE };
        let mut left = x + self.pen;
        for character in text.chars() {
            if left >= self.width {
                break;
            }
            for (row, bits) in font::glyph(character).into_iter().enumerate() {
                for column in 0..font::WIDTH {
                    if bits >> (font::WIDTH - 1 - column) & 1 == 1 {
                        let (x, y) = (left + self.pen * column as i32, y + self.pen * (row as i32 + 1));
                        self.rectangle(x, y, x + self.pen, y + self.pen, ink);
                    }
                }
            }
            left += self.pen * (font::WIDTH as i32 + 1);
        }
    }
}
