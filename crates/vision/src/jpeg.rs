//! Where a JPEG begins and ends, by walking its marker segments (ITU-T T.81, annex B): the frames of a motion-JPEG file
//! are cut apart so, and a file that was cut short is told from a whole one without decoding it.

use std::io::{self, Read};

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

/// Walks from the start-of-image marker to the end-of-image marker. A thumbnail inside a segment, or marker-like bytes
/// in the entropy-coded data, do not end it.
pub fn extent(bytes: &[u8]) -> Extent {
    Scanner::default().advance(bytes)
}

/// The walk, which goes on where it stopped when more bytes have come.
#[derive(Debug, Default)]
struct Scanner {
    /// What lies before this was understood.
    at: usize,
    /// `at` lies in entropy-coded data.
    in_scan: bool,
    has_tables: bool,
    /// Where the first scan's marker stands.
    first_scan: Option<usize>,
}

impl Scanner {
    /// Walks as far as it can; `bytes` begins where it did the last time, and is as long or longer.
    fn advance(&mut self, bytes: &[u8]) -> Extent {
        if self.at == 0 {
            match bytes {
                [0xFF, SOI, ..] => self.at = 2,
                [] | [0xFF] => return Extent::Cut,
                _ => return Extent::Invalid,
            }
        }
        loop {
            if self.in_scan {
                match entropy_coded_end(bytes, self.at) {
                    Ok(end) => (self.at, self.in_scan) = (end, false),
                    Err(reached) => {
                        self.at = reached;
                        return Extent::Cut;
                    }
                }
            }
            // Any number of 0xFF bytes may stand before a marker.
            while bytes.get(self.at) == Some(&0xFF) && bytes.get(self.at + 1) == Some(&0xFF) {
                self.at += 1;
            }
            let &[first, marker, ref rest @ ..] = bytes.get(self.at..).unwrap_or_default() else { return Extent::Cut };
            match (first, marker) {
                (0xFF, EOI) => return Extent::Whole(self.at + 2),
                // Markers without a segment: TEM and the restart intervals.
                (0xFF, 0x01 | 0xD0..=0xD7) => self.at += 2,
                // A new start inside means that the first picture was never finished.
                (0xFF, 0x02..=0xD7 | SOS..=0xFE) => {
                    let &[high, low, ..] = rest else { return Extent::Cut };
                    let length = usize::from(u16::from_be_bytes([high, low]));
                    if length < 2 {
                        return Extent::Invalid;
                    }
                    self.has_tables |= marker == DHT;
                    if marker == SOS {
                        self.first_scan.get_or_insert(self.at);
                        self.in_scan = true;
                    }
                    self.at += 2 + length;
                }
                _ => return Extent::Invalid,
            }
        }
    }

    /// The JPEG that was walked, with Huffman tables.
    fn with_tables(&self, jpeg: &[u8]) -> Vec<u8> {
        let scan = match self.first_scan {
            Some(scan) if !self.has_tables => scan,
            _ => return jpeg.to_vec(),
        };
        let mut whole = Vec::with_capacity(jpeg.len() + 432);
        whole.extend_from_slice(&jpeg[..scan]);
        append_standard_tables(&mut whole);
        whole.extend_from_slice(&jpeg[scan..]);
        whole
    }
}

/// The place of the first marker behind entropy-coded data: in there 0xFF is followed by 0, or by a restart marker.
/// Where it is not there yet, the place to go on from.
fn entropy_coded_end(bytes: &[u8], mut at: usize) -> Result<usize, usize> {
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        at += rest.iter().position(|&byte| byte == 0xFF).ok_or(at + rest.len())?;
        match bytes.get(at + 1).ok_or(at)? {
            0x00 | 0xD0..=0xD7 => at += 2,
            0xFF => at += 1,
            _ => return Ok(at),
        }
    }
}

/// The whole JPEG at the start of `bytes` with Huffman tables, whatever padding follows it; nothing where it is not
/// whole.
///
/// Many USB cameras leave the tables out, as motion JPEG allows, and mean those of T.81's annex K. Not every decoder
/// (or browser) knows that, so they are put where they belong, once, at the source.
pub fn complete(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut scanner = Scanner::default();
    match scanner.advance(bytes) {
        Extent::Whole(length) => Some(scanner.with_tables(&bytes[..length])),
        Extent::Cut | Extent::Invalid => None,
    }
}

/// The longest JPEG that is looked for in a stream.
pub const MAX_STREAMED: usize = 16 << 20;

/// Cuts a stream of bytes into the JPEGs in it. Whatever lies between them is passed over, and so is one that is
/// damaged or longer than [`MAX_STREAMED`]: the next one that begins is found again.
///
/// It serves multipart streams, too: all that their delimiters and part headers say, the JPEGs say themselves, and
/// senders get delimiters and lengths wrong in many ways.
#[derive(Debug)]
pub struct JpegStream<R> {
    reader: R,
    buffer: Vec<u8>,
    scanner: Scanner,
}

impl<R: Read> JpegStream<R> {
    /// Reads from `reader`, which needs no buffer of its own.
    pub fn new(reader: R) -> JpegStream<R> {
        JpegStream { reader, buffer: Vec::new(), scanner: Scanner::default() }
    }

    /// The next whole JPEG, with Huffman tables; nothing at the end of the stream.
    ///
    /// # Errors
    /// What the reader says. The stream can be read on after a time-out.
    pub fn next_jpeg(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            match self.scanner.advance(&self.buffer) {
                Extent::Whole(length) => {
                    let jpeg = self.scanner.with_tables(&self.buffer[..length]);
                    self.pass_over(length);
                    return Ok(Some(jpeg));
                }
                // On from the marker that contradicts, so that no byte is looked at many times: it may begin the next
                // JPEG.
                Extent::Invalid => self.pass_over(self.scanner.at.max(1)),
                Extent::Cut if self.buffer.len() > MAX_STREAMED => self.pass_over(self.buffer.len()),
                Extent::Cut => {
                    if self.read()? == 0 {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Forgets `length` bytes, and all that follow up to what could be the start of a JPEG.
    fn pass_over(&mut self, length: usize) {
        let rest = &self.buffer[length..];
        let mut starts = rest.iter().enumerate().filter(|&(_, &byte)| byte == 0xFF).map(|(at, _)| at);
        let start = starts.find(|&at| rest.get(at + 1).is_none_or(|&next| next == SOI)).unwrap_or(rest.len());
        self.buffer.drain(..length + start);
        self.scanner = Scanner::default();
    }

    fn read(&mut self) -> io::Result<usize> {
        const STEP: usize = 1 << 16;
        let filled = self.buffer.len();
        self.buffer.resize(filled + STEP, 0);
        let read = loop {
            match self.reader.read(&mut self.buffer[filled..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        self.buffer.truncate(filled + *read.as_ref().unwrap_or(&0));
        read
    }
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
        assert_eq!(whole.len(), jpeg.len() + 420);
        let tables = whole.windows(2).position(|pair| pair == [0xFF, DHT]).unwrap();
        assert_eq!(extent(&whole), Extent::Whole(whole.len()));
        assert_eq!(whole[tables + 420..], jpeg[tables..]);
        assert_eq!(complete(&whole).unwrap(), whole);
        assert_eq!(complete(&jpeg[..jpeg.len() - 1]), None);
    }

    /// Gives its bytes in pieces of a few, as a network does, with a time-out before each.
    struct Dripping<'a> {
        bytes: &'a [u8],
        step: usize,
        timed_out: bool,
    }

    impl Read for Dripping<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            self.timed_out = !self.timed_out;
            if self.timed_out {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let n = self.step.min(out.len()).min(self.bytes.len());
            out[..n].copy_from_slice(&self.bytes[..n]);
            self.bytes = &self.bytes[n..];
            Ok(n)
        }
    }

    #[test]
    fn a_stream_is_cut_into_its_jpegs_however_it_drips() {
        let jpeg = sample();
        let cut = &jpeg[..jpeg.len() - 3];
        let stream =
            [b"--b\r\n\xFF\r\n", &jpeg[..], b"\0\0\xFF", &jpeg, cut, &jpeg, b"\xFF\xD8\0", &jpeg, cut].concat();
        let whole = complete(&jpeg).unwrap();
        for step in (1..40).chain([stream.len()]) {
            let mut jpegs = JpegStream::new(Dripping { bytes: &stream, step, timed_out: false });
            let mut found = 0;
            loop {
                match jpegs.next_jpeg() {
                    Ok(Some(found_jpeg)) => {
                        assert_eq!(found_jpeg, whole);
                        found += 1;
                    }
                    Ok(None) => break,
                    Err(error) => assert_eq!(error.kind(), io::ErrorKind::TimedOut),
                }
            }
            assert_eq!(found, 4, "in steps of {step}");
        }
    }

    #[test]
    fn what_never_ends_is_given_up_with_bounded_memory() {
        let endless = [&[0xFF, SOI, 0xFF, SOS, 0, 2][..], &vec![0x55; MAX_STREAMED + (1 << 18)], &sample()].concat();
        let mut jpegs = JpegStream::new(&endless[..]);
        assert_eq!(jpegs.next_jpeg().unwrap(), complete(&sample()));
        assert!(jpegs.buffer.capacity() < 3 * MAX_STREAMED);
        assert_eq!(jpegs.next_jpeg().unwrap(), None);
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
