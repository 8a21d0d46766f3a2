//! The zip archives of `torch.save`: stored, never compressed, so that each record is a part of the file and none can
//! be a bomb. Source: PKWARE's APPNOTE.TXT.

use std::collections::BTreeMap;

use super::reader::{Reader, size};
use crate::ImportError;

const LOCAL_HEADER: &[u8] = b"PK\x03\x04";
const CENTRAL_HEADER: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
const END_64: &[u8] = b"PK\x06\x06";
const LOCATOR_64: &[u8] = b"PK\x06\x07";

/// Bytes of the end record without its comment, and the most that the comment may have.
const END_BYTES: usize = 22;
const LONGEST_COMMENT: usize = 0xffff;

/// The records of an archive by name; `None` for one that is compressed or encrypted.
pub(super) fn records(bytes: &[u8]) -> Result<BTreeMap<&str, Option<&[u8]>>, ImportError> {
    let directory = directory(bytes)?;
    let mut reader = Reader::new(directory);
    let mut records = BTreeMap::new();
    while !reader.rest().is_empty() {
        let (name, content) = record(bytes, &mut reader)?;
        if records.insert(name, content).is_some() {
            return Err(damaged(format!("{name:?} is in it twice")));
        }
    }
    Ok(records)
}

/// The central directory, which lists the records.
fn directory(bytes: &[u8]) -> Result<&[u8], ImportError> {
    let first = bytes.len().saturating_sub(END_BYTES + LONGEST_COMMENT);
    let is_end = |at: &usize| {
        let comment =
            bytes.get(at + 20..at + END_BYTES).map(|length| usize::from(length[0]) + 256 * usize::from(length[1]));
        bytes[*at..].starts_with(END) && comment.is_some_and(|comment| at + END_BYTES + comment == bytes.len())
    };
    let end = (first..bytes.len()).rev().find(is_end).ok_or_else(|| damaged("its directory is missing: cut short?"))?;
    let mut reader = Reader::new(&bytes[end + 12..]);
    let (mut length, mut start) = (u64::from(reader.u32()?), u64::from(reader.u32()?));
    // Archives beyond 4 GiB, and all of newer versions of PyTorch, repeat these numbers in 64 bits.
    let locator = end.checked_sub(20).map(|at| &bytes[at..end]).filter(|locator| locator.starts_with(LOCATOR_64));
    if let Some(locator) = locator {
        let mut reader = Reader::new(&locator[8..]);
        let at = size(reader.u64()?)?;
        let end = bytes.get(at..).filter(|end| end.starts_with(END_64));
        let mut reader = Reader::new(end.ok_or_else(|| damaged("its 64-bit directory is missing"))?);
        reader.take(40)?;
        (length, start) = (reader.u64()?, reader.u64()?);
    }
    part(bytes, start, length)
}

/// Reads one entry of the directory and finds its record.
fn record<'a>(bytes: &'a [u8], directory: &mut Reader<'a>) -> Result<(&'a str, Option<&'a [u8]>), ImportError> {
    if directory.take(4)? != CENTRAL_HEADER {
        return Err(damaged("its directory is no list of records"));
    }
    directory.take(4)?;
    let (flags, method) = (directory.u16()?, directory.u16()?);
    directory.take(8)?;
    let [mut stored, mut length] = [u64::from(directory.u32()?), u64::from(directory.u32()?)];
    let [name, extra, comment] = [directory.u16()?, directory.u16()?, directory.u16()?].map(usize::from);
    directory.take(8)?;
    let mut start = u64::from(directory.u32()?);
    let name = std::str::from_utf8(directory.take(name)?).map_err(|_| damaged("a name in it is not UTF-8"))?;
    let mut extra = Reader::new(directory.take(extra)?);
    directory.take(comment)?;
    // Field 1 repeats in 64 bits, and in this order, the numbers that did not fit.
    while let Ok(id) = extra.u16() {
        let field_length = extra.u16()?.into();
        let mut field = Reader::new(extra.take(field_length)?);
        if id == 1 {
            for number in [&mut length, &mut stored, &mut start] {
                if *number == u64::from(u32::MAX) {
                    *number = field.u64()?;
                }
            }
        }
    }
    if method != 0 || flags & 1 != 0 || stored != length {
        return Ok((name, None));
    }
    let mut local = Reader::new(part(bytes, start, bytes.len() as u64 - start.min(bytes.len() as u64))?);
    if local.take(4)? != LOCAL_HEADER {
        return Err(damaged(format!("the record {name:?} is not where its directory says")));
    }
    local.take(22)?;
    let (name_length, extra_length) = (local.u16()?.into(), local.u16()?.into());
    local.take(name_length)?;
    local.take(extra_length)?;
    Ok((name, Some(local.take(size(length)?)?)))
}

fn part(bytes: &[u8], start: u64, length: u64) -> Result<&[u8], ImportError> {
    let (start, length) = (size(start)?, size(length)?);
    let end = start.checked_add(length);
    end.and_then(|end| bytes.get(start..end)).ok_or_else(|| damaged("its directory points beyond its end"))
}

fn damaged(problem: impl std::fmt::Display) -> ImportError {
    ImportError::Damaged(format!("its zip archive is wrong: {problem}"))
}
