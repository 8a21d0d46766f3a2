//! Reads numbers out of a FlexBuffers map, which holds the options of custom operators, from hostile bytes.
//!
//! A buffer ends with its root: the value, a byte that says its type, a byte that says how many bytes the value has. A
//! map is a vector of values with a byte for the type of each behind them, and before it the place of its keys, a
//! vector of strings that end with a zero. A place is a distance backwards. (FlatBuffers, flexbuffers.h.)

/// Kinds of values, as the upper six bits of a type have them.
const INT: u8 = 1;
const UINT: u8 = 2;
const FLOAT: u8 = 3;
const INDIRECT_INT: u8 = 6;
const INDIRECT_UINT: u8 = 7;
const INDIRECT_FLOAT: u8 = 8;
const MAP: u8 = 9;
const BOOL: u8 = 26;

/// A map.
#[derive(Clone, Copy, Debug)]
pub struct Map<'a> {
    buffer: &'a [u8],
    /// Where the values begin, and the bytes of each.
    values: usize,
    width: usize,
    keys: usize,
    key_width: usize,
    len: usize,
}

impl<'a> Map<'a> {
    /// The map that is a buffer's root.
    pub fn root(buffer: &'a [u8]) -> Option<Map<'a>> {
        let [.., packed, root_width] = *buffer else { return None };
        let root = buffer.len().checked_sub(2 + usize::from(root_width))?;
        if packed >> 2 != MAP {
            return None;
        }
        let width = 1 << (packed & 3);
        let values = follow(buffer, root, root_width.into())?;
        let len = usize::try_from(unsigned(buffer, values.checked_sub(width)?, width)?).ok()?;
        let key_width = usize::try_from(unsigned(buffer, values.checked_sub(2 * width)?, width)?).ok()?;
        let keys = follow(buffer, values.checked_sub(3 * width)?, width)?;
        // Every value has a place and a type, so that there are no more than bytes.
        let end = len.checked_mul(width + 1).and_then(|bytes| bytes.checked_add(values))?;
        (end <= buffer.len()).then_some(Map { buffer, values, width, keys, key_width, len })
    }

    /// The number of this name, where there is one.
    pub fn number(&self, name: &str) -> Option<f64> {
        let index = (0..self.len).find(|&index| self.has_key(index, name.as_bytes()) == Some(true))?;
        let place = self.values + index * self.width;
        let packed = *self.buffer.get(self.values + self.len * self.width + index)?;
        let (place, width) = match packed >> 2 {
            INT | UINT | FLOAT | BOOL => (place, self.width),
            INDIRECT_INT | INDIRECT_UINT | INDIRECT_FLOAT => {
                (follow(self.buffer, place, self.width)?, 1 << (packed & 3))
            }
            _ => return None,
        };
        match packed >> 2 {
            FLOAT | INDIRECT_FLOAT => match *slice(self.buffer, place, width)? {
                [a, b, c, d] => Some(f32::from_le_bytes([a, b, c, d]).into()),
                [a, b, c, d, e, f, g, h] => Some(f64::from_le_bytes([a, b, c, d, e, f, g, h])),
                _ => None,
            },
            INT | INDIRECT_INT => {
                let bits = 64 - 8 * width as u32;
                Some((((unsigned(self.buffer, place, width)? << bits) as i64) >> bits) as f64)
            }
            _ => Some(unsigned(self.buffer, place, width)? as f64),
        }
    }

    fn has_key(&self, index: usize, name: &[u8]) -> Option<bool> {
        let place = index.checked_mul(self.key_width)?.checked_add(self.keys)?;
        let key = self.buffer.get(follow(self.buffer, place, self.key_width)?..)?;
        Some(key.starts_with(name) && key.get(name.len()) == Some(&0))
    }
}

fn slice(buffer: &[u8], place: usize, width: usize) -> Option<&[u8]> {
    buffer.get(place..place.checked_add(width)?)
}

/// A number of 1, 2, 4 or 8 bytes, the lowest first.
fn unsigned(buffer: &[u8], place: usize, width: usize) -> Option<u64> {
    let bytes = slice(buffer, place, width).filter(|_| [1, 2, 4, 8].contains(&width))?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// The place that lies so far before `place` as is written there.
fn follow(buffer: &[u8], place: usize, width: usize) -> Option<usize> {
    place.checked_sub(usize::try_from(unsigned(buffer, place, width)?).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map() -> Vec<u8> {
        let mut builder = flexbuffers::Builder::default();
        let mut map = builder.start_map();
        map.push("num_classes", 90u64);
        map.push("negative", -3i64);
        map.push("large", 1i64 << 40);
        map.push("y_scale", 10.0f32);
        map.push("double", 0.1f64);
        map.push("use_regular_nms", true);
        map.push("text", "90");
        map.end_map();
        builder.view().to_vec()
    }

    #[test]
    fn numbers_are_found_by_name() {
        let buffer = map();
        let map = Map::root(&buffer).unwrap();
        for (name, number) in [
            ("num_classes", 90.0),
            ("negative", -3.0),
            ("large", (1u64 << 40) as f64),
            ("y_scale", 10.0),
            ("double", 0.1),
            ("use_regular_nms", 1.0),
        ] {
            assert_eq!(map.number(name), Some(number), "{name}");
        }
        assert_eq!((map.number("text"), map.number("num_class"), map.number("num_classes2")), (None, None, None));
    }

    #[test]
    fn damaged_buffers_are_read_without_panic() {
        let whole = map();
        for end in 0..whole.len() {
            _ = Map::root(&whole[..end]).and_then(|map| map.number("y_scale"));
        }
        for place in 0..whole.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut damaged = whole.clone();
                damaged[place] = value;
                _ = Map::root(&damaged).and_then(|map| map.number("y_scale"));
            }
        }
    }
}
