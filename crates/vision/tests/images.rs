//! Image files, good and hostile: each bad one is an error that says what it is, and none takes memory that its bytes
//! do not call for.

use std::path::Path;
use std::time::{Duration, Instant};

use kinglet_vision::decode;

/// A JPEG of a pattern with fine detail.
fn jpeg(width: u16, height: u16, color: jpeg_encoder::ColorType) -> Vec<u8> {
    let channels = match color {
        jpeg_encoder::ColorType::Luma => 1,
        jpeg_encoder::ColorType::Rgb => 3,
        _ => 4,
    };
    let pixels: Vec<u8> =
        (0..usize::from(width) * usize::from(height) * channels).map(|i| (i / channels * 3 % 251) as u8).collect();
    let mut bytes = Vec::new();
    jpeg_encoder::Encoder::new(&mut bytes, 90).encode(&pixels, width, height, color).unwrap();
    bytes
}

fn error(bytes: &[u8]) -> String {
    let error = decode::image(bytes).map(|_| ()).unwrap_err().to_string();
    assert!(!error.contains('\n'), "{error}");
    error
}

/// A PNG that is nothing but a header.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut header = b"IHDR".to_vec();
    header.extend(width.to_be_bytes());
    header.extend(height.to_be_bytes());
    header.extend([8, 6, 0, 0, 0]);
    let crc = !header.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    });
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
    bytes.extend(&header);
    bytes.extend(crc.to_be_bytes());
    bytes.extend(b"\0\0\0\0IDAT\x35\xaf\x06\x1e");
    bytes
}

#[test]
fn gray_color_and_cmyk_jpegs_become_rgb() {
    use jpeg_encoder::ColorType::{Cmyk, Luma, Rgb};
    // No ink at all is white.
    for (color, first) in [(Luma, [0u8, 0, 0]), (Rgb, [0, 0, 0]), (Cmyk, [255, 255, 255])] {
        let picture = decode::image(&jpeg(33, 17, color)).unwrap_or_else(|e| panic!("{color:?}: {e}"));
        assert_eq!((picture.width(), picture.height()), (33, 17));
        let pixel = &picture.bytes()[..3];
        assert!(pixel.iter().zip(first).all(|(&a, b)| a.abs_diff(b) < 12), "{color:?}: {pixel:?}");
    }
}

#[test]
fn a_jpeg_cut_anywhere_is_an_error() {
    let whole = jpeg(64, 48, jpeg_encoder::ColorType::Rgb);
    assert!(decode::image(&whole).is_ok());
    for length in 0..whole.len() {
        assert!(decode::image(&whole[..length]).is_err(), "{length} of {}", whole.len());
    }
    assert!(error(&whole[..whole.len() / 2]).contains("cut short"));
}

/// Small JPEGs of every kind that is decoded, and the pixels that libjpeg-turbo makes of them: the folder's README says
/// how they were made.
fn kinds() -> Vec<(String, Vec<u8>, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/jpeg");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "jpg"));
    files.sort();
    let read = |path: &Path| std::fs::read(path).unwrap();
    let name = |path: &Path| path.file_stem().unwrap().to_string_lossy().into_owned();
    files.iter().map(|path| (name(path), read(path), read(&path.with_extension("rgb")))).collect()
}

#[test]
fn every_kind_of_jpeg_decodes_to_the_bytes_of_libjpeg_turbo() {
    let kinds = kinds();
    assert_eq!(kinds.len(), 12);
    for (name, jpeg, rgb) in kinds {
        let picture = decode::image(&jpeg).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(picture.bytes() == rgb, "{name}");
    }
}

/// One small damage: a byte or a bit changed, bytes taken out or put in, the end cut off. Half of them hit the headers,
/// where a byte decides more.
fn damage(jpeg: &mut Vec<u8>, next: &mut impl FnMut() -> usize) {
    let scan = jpeg.windows(2).position(|w| w == [0xFF, 0xDA]).unwrap_or(0) + 14;
    let reach = if next().is_multiple_of(2) { scan.min(jpeg.len()) } else { jpeg.len() };
    let at = next() % reach;
    let end = (at + 1 + next() % 32).min(jpeg.len());
    match next() % 6 {
        0 => jpeg[at] = next() as u8,
        1 => jpeg[at] ^= 1 << (next() % 8),
        2 => jpeg[at] = [0, 1, 4, 0x11, 0x41, 0x7F, 0x80, 0xFF][next() % 8],
        3 => drop(jpeg.drain(at + 1..end)),
        4 => drop(jpeg.splice(at..at, jpeg[at..end].to_vec())),
        // With an end-of-image marker, so that it is the decoder that finds out.
        _ => jpeg.splice(at.., [0xFF, 0xD9]).for_each(drop),
    }
}

#[test]
fn no_damage_makes_the_decoder_panic_or_work_long() {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) as usize
    };
    let kinds = kinds();
    let (mut decoded, mut refused) = (0, 0);
    for round in 0..6_000 {
        let (name, whole, _) = &kinds[round % kinds.len()];
        let mut damaged = whole.clone();
        for _ in 0..1 + next() % 4 {
            damage(&mut damaged, &mut next);
        }
        let start = Instant::now();
        // Either answer will do: a picture of some size, or an error.
        match decode::image(&damaged) {
            Ok(picture) => {
                assert_eq!(picture.bytes().len(), picture.width() as usize * picture.height() as usize * 3);
                decoded += 1;
            }
            Err(_) => refused += 1,
        }
        assert!(start.elapsed() < Duration::from_secs(10), "round {round}, {name}: {:?}", start.elapsed());
    }
    assert!(decoded > 300 && refused > 300, "{decoded} decoded, {refused} refused");
}

#[test]
fn four_components_of_odd_sizes_are_refused() {
    let (_, jpeg, _) = kinds().into_iter().find(|(name, ..)| name == "cmyk").unwrap();
    let sof = jpeg.windows(2).position(|w| w == [0xFF, 0xC0]).unwrap();
    for sampling in [[0x11, 0x12, 0x11, 0x11], [0x11, 0x11, 0x11, 0x22], [0x31, 0x21, 0x21, 0x31]] {
        let mut odd = jpeg.clone();
        for (component, sampling) in sampling.into_iter().enumerate() {
            odd[sof + 11 + 3 * component] = sampling;
        }
        assert!(error(&odd).contains("sizes"), "{sampling:x?}: {}", error(&odd));
    }
}

#[test]
fn a_progressive_jpeg_of_endless_scans_is_refused() {
    let (_, jpeg, _) = kinds().into_iter().find(|(name, ..)| name == "progressive_gray").unwrap();
    let scan = jpeg.windows(2).rposition(|w| w == [0xFF, 0xDA]).unwrap();
    let (start, last) = jpeg.split_at(scan);
    let scans = last[..last.len() - 2].repeat(200);
    let problem = error(&[start, &scans, &[0xFF, 0xD9]].concat());
    assert!(problem.contains("scan"), "{problem}");
}

#[test]
fn giant_headers_are_refused_before_anything_is_allocated() {
    let giant = error(&png_header(40_000, 40_000));
    assert!(giant.contains("40000x40000") && giant.contains("too large"), "{giant}");
    assert!(error(&png_header(0, 4)).contains("PNG"), "no pixels");
    let hollow = error(&png_header(9_000, 9_000));
    assert!(hollow.contains("cannot hold"), "{hollow}");

    let mut jpeg = jpeg(16, 16, jpeg_encoder::ColorType::Luma);
    let sof = jpeg.windows(2).position(|w| w == [0xFF, 0xC0]).unwrap();
    jpeg[sof + 5..sof + 9].copy_from_slice(&[0x9C, 0x40, 0x9C, 0x40]);
    assert!(error(&jpeg).contains("too large"), "{}", error(&jpeg));
    jpeg[sof + 5..sof + 9].copy_from_slice(&[0x23, 0x28, 0x23, 0x28]);
    assert!(error(&jpeg).contains("cannot hold"), "{}", error(&jpeg));
}

#[test]
fn what_is_no_image_is_said_to_be_none() {
    assert!(error(b"").contains("no bytes"));
    assert!(error(b"hello, I am a text").contains("neither JPEG nor PNG nor BMP"));
    assert!(error(b"BM").contains("BMP"));
    assert!(error(b"\x89PNG\r\n\x1a\n").contains("PNG"));
}

#[test]
fn the_orientation_in_exif_is_done() {
    // A picture that is black on the left, white on the right, and a tag that says "turn right": black comes to the
    // top.
    let pixels: Vec<u8> = (0..32 * 16).map(|i| if i % 32 < 16 { 0 } else { 255 }).collect();
    let mut bytes = Vec::new();
    jpeg_encoder::Encoder::new(&mut bytes, 100).encode(&pixels, 32, 16, jpeg_encoder::ColorType::Luma).unwrap();
    let exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let mut tagged = bytes[..2].to_vec();
    tagged.extend([0xFF, 0xE1, 0, exif.len() as u8 + 2]);
    tagged.extend(exif);
    tagged.extend(&bytes[2..]);
    let picture = decode::image(&tagged).unwrap();
    assert_eq!((picture.width(), picture.height()), (16, 32));
    let gray = |x: usize, y: usize| picture.bytes()[(y * 16 + x) * 3];
    assert!(gray(8, 4) < 10 && gray(8, 28) > 245, "{} {}", gray(8, 4), gray(8, 28));
    let plain = decode::image(&bytes).unwrap();
    assert_eq!((plain.width(), plain.height()), (32, 16));
}
