//! Where a JPEG begins and ends, by walking its marker segments (ITU-T T.81, annex B): the frames of a motion-JPEG file
//! are cut apart so, and a file that was cut short is told from a whole one without decoding it.

/// How far a JPEG at the beginning of some bytes reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// It is whole, and this many bytes long.
    Whole(usize),
    /// The bytes end before it does.
    Cut,
    /// The bytes do not begin like a JPEG, or contradict themselves.
    Invalid,
}

const SOI: u8 = 0xD8;
const EOI: u8 = 0xD9;
const SOS: u8 = 0xDA;
const DHT: u8 = 0xC4;

/// Walks from the start-of-image marker to the end-of-image marker. A thumbnail inside a segment, or marker-like bytes in
/// the entropy-coded data, do not end it.
pub fn extent(bytes: &[u8]) -> Extent {
    match walk(bytes, |_| {}) {
        Ok(length) => Extent::Whole(length),
        Err(extent) => extent,
    }
}

/// A marker that stands alone, or begins a segment.
struct Segment {
    marker: u8,
    /// Where its 0xFF stands.
    at: usize,
}

/// Calls `visit` with each segment; gives the length of the whole.
fn walk(bytes: &[u8], mut visit: impl FnMut(Segment)) -> Result<usize, Extent> {
    if !bytes.starts_with(&[0xFF, SOI]) {
        return Err(if [0xFF, SOI].starts_with(bytes) { Extent::Cut } else { Extent::Invalid });
    }
    let mut at = 2;
    loop {
        // Any number of 0xFF bytes may stand before a marker.
        while bytes.get(at) == Some(&0xFF) && bytes.get(at + 1) == Some(&0xFF) {
            at += 1;
        }
        let &[first, marker, ..] = bytes.get(at..).unwrap_or_default() else { return Err(Extent::Cut) };
        if first != 0xFF {
            return Err(Extent::Invalid);
        }
        visit(Segment { marker, at });
        match marker {
            EOI => return Ok(at + 2),
            // A new start inside means that the first picture was never finished.
            0x00 | SOI => return Err(Extent::Invalid),
            // Markers without a segment: TEM and the restart intervals.
            0x01 | 0xD0..=0xD7 => at += 2,
            _ => {
                let &[high, low, ..] = bytes.get(at + 2..).unwrap_or_default() else { return Err(Extent::Cut) };
                let length = usize::from(u16::from_be_bytes([high, low]));
                if length < 2 {
                    return Err(Extent::Invalid);
                }
                at += 2 + length;
                if marker == SOS {
                    at = entropy_coded_end(bytes, at).ok_or(Extent::Cut)?;
                }
            }
        }
    }
}

/// The place of the first marker behind entropy-coded data: in there 0xFF is followed by 0, or by a restart marker.
fn entropy_coded_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += bytes.get(at..)?.iter().position(|&byte| byte == 0xFF)?;
        match bytes.get(at + 1)? {
            0x00 | 0xD0..=0xD7 => at += 2,
            0xFF => at += 1,
            _ => return Some(at),
        }
    }
}

/// The whole JPEG at the start of `bytes` with Huffman tables, whatever padding follows it; nothing where it is not whole.
///
/// Many USB cameras leave the tables out, as motion JPEG allows, and mean those of T.81's annex K. Not every decoder (or
/// browser) knows that, so they are put where they belong, once, at the source.
pub fn complete(bytes: &[u8]) -> Option<Vec<u8>> {
    let (mut has_tables, mut scan) = (false, None);
    let length = walk(bytes, |segment| match segment.marker {
        DHT => has_tables = true,
        SOS if scan.is_none() => scan = Some(segment.at),
        _ => {}
    })
    .ok()?;
    let scan = scan?;
    let bytes = &bytes[..length];
    if has_tables {
        return Some(bytes.to_vec());
    }
    let mut whole = Vec::with_capacity(length + 432);
    whole.extend_from_slice(&bytes[..scan]);
    append_standard_tables(&mut whole);
    whole.extend_from_slice(&bytes[scan..]);
    Some(whole)
}

/// How many codes there are of 1 to 16 bits, and the values they stand for: T.81, tables K.3 to K.6.
struct HuffmanTable {
    /// Class (0 DC, 1 AC) in the high four bits, destination in the low ones.
    class_and_destination: u8,
    lengths: [u8; 16],
    values: &'static [u8],
}

const DC_VALUES: [u8; 12] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];

const LUMA_AC_VALUES: [u8; 162] = [
    0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07, 0x22, 0x71, 0x14,
    0x32, 0x81, 0x91, 0xA1, 0x08, 0x23, 0x42, 0xB1, 0xC1, 0x15, 0x52, 0xD1, 0xF0, 0x24, 0x33, 0x62, 0x72, 0x82, 0x09,
    0x0A, 0x16, 0x17, 0x18, 0x19, 0x1A, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2A, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3A,
    0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4A, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5A, 0x63, 0x64, 0x65,
    0x66, 0x67, 0x68, 0x69, 0x6A, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7A, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88,
    0x89, 0x8A, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7, 0xA8, 0xA9,
    0xAA, 0xB2, 0xB3, 0xB4, 0xB5, 0xB6, 0xB7, 0xB8, 0xB9, 0xBA, 0xC2, 0xC3, 0xC4, 0xC5, 0xC6, 0xC7, 0xC8, 0xC9, 0xCA,
    0xD2, 0xD3, 0xD4, 0xD5, 0xD6, 0xD7, 0xD8, 0xD9, 0xDA, 0xE1, 0xE2, 0xE3, 0xE4, 0xE5, 0xE6, 0xE7, 0xE8, 0xE9, 0xEA,
    0xF1, 0xF2, 0xF3, 0xF4, 0xF5, 0xF6, 0xF7, 0xF8, 0xF9, 0xFA,
];

const CHROMA_AC_VALUES: [u8; 162] = [
    0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71, 0x13, 0x22, 0x32,
    0x81, 0x08, 0x14, 0x42, 0x91, 0xA1, 0xB1, 0xC1, 0x09, 0x23, 0x33, 0x52, 0xF0, 0x15, 0x62, 0x72, 0xD1, 0x0A, 0x16,
    0x24, 0x34, 0xE1, 0x25, 0xF1, 0x17, 0x18, 0x19, 0x1A, 0x26, 0x27, 0x28, 0x29, 0x2A, 0x35, 0x36, 0x37, 0x38, 0x39,
    0x3A, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4A, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5A, 0x63, 0x64,
    0x65, 0x66, 0x67, 0x68, 0x69, 0x6A, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7A, 0x82, 0x83, 0x84, 0x85, 0x86,
    0x87, 0x88, 0x89, 0x8A, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7,
    0xA8, 0xA9, 0xAA, 0xB2, 0xB3, 0xB4, 0xB5, 0xB6, 0xB7, 0xB8, 0xB9, 0xBA, 0xC2, 0xC3, 0xC4, 0xC5, 0xC6, 0xC7, 0xC8,
    0xC9, 0xCA, 0xD2, 0xD3, 0xD4, 0xD5, 0xD6, 0xD7, 0xD8, 0xD9, 0xDA, 0xE2, 0xE3, 0xE4, 0xE5, 0xE6, 0xE7, 0xE8, 0xE9,
    0xEA, 0xF2, 0xF3, 0xF4, 0xF5, 0xF6, 0xF7, 0xF8, 0xF9, 0xFA,
];

const STANDARD_TABLES: [HuffmanTable; 4] = [
    HuffmanTable {
        class_and_destination: 0x00,
        lengths: [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0],
        values: &DC_VALUES,
    },
    HuffmanTable {
        class_and_destination: 0x10,
        lengths: [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7D],
        values: &LUMA_AC_VALUES,
    },
    HuffmanTable {
        class_and_destination: 0x01,
        lengths: [0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0],
        values: &DC_VALUES,
    },
    HuffmanTable {
        class_and_destination: 0x11,
        lengths: [0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 0x77],
        values: &CHROMA_AC_VALUES,
    },
];

/// Appends one segment that defines the four tables.
fn append_standard_tables(out: &mut Vec<u8>) {
    let length: usize = 2 + STANDARD_TABLES.iter().map(|table| 17 + table.values.len()).sum::<usize>();
    out.extend([0xFF, DHT]);
    out.extend((length as u16).to_be_bytes());
    for table in &STANDARD_TABLES {
        out.push(table.class_and_destination);
        out.extend(table.lengths);
        out.extend(table.values);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A JPEG in form: a segment that hides a whole thumbnail, a scan with stuffed bytes and restarts, fill bytes.
    fn sample() -> Vec<u8> {
        let mut jpeg = vec![0xFF, 0xD8];
        jpeg.extend([0xFF, 0xE1, 0x00, 0x08, 0xFF, 0xD8, 0x01, 0x02, 0xFF, 0xD9]);
        jpeg.extend([0xFF, 0xFF, 0xFF, 0xDA, 0x00, 0x03, 0x00]);
        jpeg.extend([0x12, 0xFF, 0x00, 0xD9, 0xFF, 0xD3, 0x34, 0xFF, 0xFF]);
        jpeg.extend([0xFF, 0xDA, 0x00, 0x03, 0x00, 0x55, 0xFF, 0xD9]);
        jpeg
    }

    #[test]
    fn finds_the_end_through_thumbnails_stuffing_restarts_and_several_scans() {
        let jpeg = sample();
        assert_eq!(extent(&jpeg), Extent::Whole(jpeg.len()));
        assert_eq!(extent(&[&jpeg[..], &[0xFF, 0xD8, 0x00]].concat()), Extent::Whole(jpeg.len()));
    }

    #[test]
    fn every_beginning_is_cut() {
        let jpeg = sample();
        for length in 0..jpeg.len() {
            assert_eq!(extent(&jpeg[..length]), Extent::Cut, "{length}");
        }
    }

    #[test]
    fn what_is_no_jpeg_is_invalid() {
        assert_eq!(extent(b"\x89PNG"), Extent::Invalid);
        assert_eq!(extent(&[0xFF, 0xD8, 0x00, 0x00]), Extent::Invalid);
        assert_eq!(extent(&[0xFF, 0xD8, 0xFF, 0xE0, 0x00, 0x01, 0x00]), Extent::Invalid);
        assert_eq!(extent(&[0xFF, 0xD8, 0xFF, 0xDA, 0x00, 0x02, 0x11, 0xFF, 0xD8, 0xFF]), Extent::Invalid);
    }

    #[test]
    fn tables_are_added_before_the_first_scan_and_only_where_there_are_none() {
        let jpeg = sample();
        let padded = [&jpeg[..], &[0; 40]].concat();
        let whole = complete(&padded).unwrap();
        assert_eq!(whole.len(), jpeg.len() + 420 + 2 - 2);
        let tables = whole.windows(2).position(|pair| pair == [0xFF, DHT]).unwrap();
        assert_eq!(extent(&whole), Extent::Whole(whole.len()));
        assert_eq!(whole[tables + 420..], jpeg[tables..]);
        assert_eq!(complete(&whole).unwrap(), whole);
        assert_eq!(complete(&jpeg[..jpeg.len() - 1]), None);
    }

    #[test]
    fn the_standard_tables_are_consistent() {
        for table in &STANDARD_TABLES {
            let codes: usize = table.lengths.iter().map(|&n| usize::from(n)).sum();
            assert_eq!(codes, table.values.len());
            let mut values = table.values.to_vec();
            values.sort_unstable();
            values.dedup();
            assert_eq!(values.len(), codes, "a value twice");
        }
    }
}
