//! Weights as a kernel reads them: zero points folded away, columns in panels, the depth in groups. Done once.

use crate::memory::{Aligned, AlignedBytes};
use crate::quantized::{Requantize, Weights, reach};

use super::{Element, Kernel};

/// The weights of a convolution, ready for one kernel. Everything is padded to whole panels: group after group, panel
/// after panel.
pub(super) struct Packed {
    /// For each panel `[depth / depth_group][columns][depth_group]`; only the last group of a panel may be narrower.
    pub(super) weights: AlignedBytes,
    /// `bias − input_zero_point · Σ weights`, so that the kernel multiplies activations as they lie in memory.
    pub(super) bias: Aligned<i32>,
    /// Padded with zeros.
    pub(super) multipliers: Aligned<f32>,
    /// What was taken off the weights of each column so that they fit; the kernel adds it times the sum of the input
    /// row. `None` if it is 0 for all.
    pub(super) shifts: Option<Aligned<i32>>,
    /// For a kernel that adds in 16 bits, a line for each panel; see [`groups`](Self::groups).
    groups: Vec<u8>,
    /// Bytes of a line.
    groups_len: usize,
    /// No scaled sum is further from 0, whatever the input.
    pub(super) reach: f32,
}

impl Packed {
    /// How a kernel with `word_sums` cuts the depth of a panel: from the start on, sizes of groups of pairs of weights,
    /// each as the bit `1 << (size - 1)`, then 0. The products of a group with any activations, of one column and one
    /// place in the pairs, add up in 16 bits. Null if the kernel has no such sums.
    pub(super) fn groups(&self, panel: usize) -> *const u8 {
        let line = self.groups.chunks(self.groups_len).nth(panel);
        line.map_or(std::ptr::null(), <[u8]>::as_ptr)
    }

    /// Bytes that [`groups`](Self::groups) takes.
    pub(super) fn groups_bytes(&self) -> usize {
        self.groups.len()
    }
}

/// Shape of the matrix product of one group of a convolution, and how many groups there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) groups: usize,
    /// Output channels of a group.
    pub(super) columns: usize,
    /// Taps times input channels of a group.
    pub(super) depth: usize,
}

/// Packs `weights`, stored `[groups · columns][depth]`.
pub(super) fn pack(
    kernel: &Kernel,
    shape: Shape,
    weights: &Weights,
    input_zero_point: i32,
    requantize: &Requantize,
) -> Packed {
    let padded_columns = shape.columns.next_multiple_of(kernel.granule);
    let padded_depth = shape.depth.next_multiple_of(kernel.depth_multiple);
    let total = shape.groups * padded_columns;
    let mut packed = Packed {
        weights: AlignedBytes::zeroed(total * padded_depth * kernel.weights.size()),
        bias: Aligned::zeroed(total),
        multipliers: Aligned::zeroed(total),
        shifts: None,
        groups: Vec::new(),
        groups_len: padded_depth / 2 + 1,
        reach: 0.0,
    };
    let mut shifts = Aligned::<i32>::zeroed(total);
    let mut column = vec![0i16; padded_depth];
    for channel in 0..shape.groups * shape.columns {
        let (group, n) = (channel / shape.columns, channel % shape.columns);
        let at = group * padded_columns + n;
        let values = &weights.values[channel * shape.depth..][..shape.depth];
        let zero_point = weights.zero_point(channel);
        for (folded, &value) in column.iter_mut().zip(values) {
            *folded = (i32::from(value) - zero_point) as i16;
        }
        let sum = column.iter().fold(0i32, |sum, &w| sum.wrapping_add(w.into()));
        packed.bias[at] = weights.bias(channel).wrapping_sub(input_zero_point.wrapping_mul(sum));
        packed.multipliers[at] = requantize.multiplier(channel);
        packed.reach = packed.reach.max(reach(column.iter().copied(), packed.bias[at], packed.multipliers[at]));
        if kernel.weights == Element::Byte {
            let shift = shift_to_bytes(&column[..shape.depth]);
            shifts[at] = shift.into();
            column[..shape.depth].iter_mut().for_each(|w| *w -= shift);
        }
        let panel = n / kernel.columns * kernel.columns;
        let width = kernel.columns.min(padded_columns - panel);
        let start = (group * padded_columns + panel) * padded_depth * kernel.weights.size();
        write_column(kernel, &column, width, n - panel, &mut packed.weights[start..]);
    }
    if kernel.word_sums {
        for (start, width) in (0..total).step_by(padded_columns).flat_map(|group| {
            let panels = (0..padded_columns).step_by(kernel.columns);
            panels.map(move |panel| (group + panel, kernel.columns.min(padded_columns - panel)))
        }) {
            let weights = &packed.weights[start * padded_depth..][..width * padded_depth];
            let line = packed.groups.len();
            packed.groups.resize(line + packed.groups_len, 0);
            write_groups(weights, 2 * width, &mut packed.groups[line..]);
        }
    }
    packed.shifts = shifts.iter().any(|&shift| shift != 0).then_some(shifts);
    packed
}

/// What to subtract from `column`, whose values span at most 255, so that it fits into bytes: 0 if it does already.
fn shift_to_bytes(column: &[i16]) -> i16 {
    let (min, max) = column.iter().fold((0, 0), |(min, max), &w| (w.min(min), w.max(max)));
    if max > 127 { max - 127 } else { (min + 128).min(0) }
}

/// Most pairs of a group: a kernel has registers for so many.
const MOST_PAIRS: usize = 4;

/// Writes [`Packed::groups`] of one panel, of which `pair` bytes are one pair of weights of each column. Each group is
/// as long as it can be; no other cut has fewer.
fn write_groups(panel: &[u8], pair: usize, groups: &mut [u8]) {
    // No activation is further from 0 than −128.
    const MOST: u16 = i16::MAX as u16 / 128;
    let (mut sums, mut pairs, mut written) = (vec![0; pair], 0, 0);
    for weights in panel.chunks(pair) {
        let weights = weights.iter().map(|&w| u16::from((w as i8).unsigned_abs()));
        if pairs == MOST_PAIRS || sums.iter().zip(weights.clone()).any(|(&sum, weight)| sum + weight > MOST) {
            groups[written] = 1 << (pairs - 1);
            (pairs, written) = (0, written + 1);
            sums.fill(0);
        }
        sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += weight);
        pairs += 1;
    }
    groups[written] = 1 << (pairs - 1);
}

/// Writes one column into its panel, which is `width` columns wide.
fn write_column(kernel: &Kernel, column: &[i16], width: usize, at: usize, panel: &mut [u8]) {
    let size = kernel.weights.size();
    for (i, group) in column.chunks(kernel.depth_group).enumerate() {
        let start = (i * kernel.depth_group * width + at * group.len()) * size;
        let to = &mut panel[start..][..group.len() * size];
        match kernel.weights {
            Element::Byte => to.iter_mut().zip(group).for_each(|(to, &w)| *to = w as i8 as u8),
            Element::Word => to.chunks_mut(2).zip(group).for_each(|(to, w)| to.copy_from_slice(&w.to_ne_bytes())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_fits_after_its_shift() {
        for (column, shift) in [
            ([-127i16, 0, 127], 0),
            ([-128, 0, 127], 0),
            ([-120, 0, 135], 8),
            ([-200, -100, 0], -72),
            ([-255, -100, 0], -127),
            ([0, 100, 255], 128),
            ([0, 0, 0], 0),
        ] {
            let found = shift_to_bytes(&column);
            assert_eq!(found, shift, "{column:?}");
            let shifted = column.map(|w| w - found);
            assert!(shifted.iter().all(|&w| (-128..=127).contains(&w)), "{shifted:?}");
        }
    }

    #[test]
    fn groups_add_up_in_16_bits_and_are_as_long_as_they_can_be() {
        for (columns, sizes) in [
            // One column, so that a line is the pairs one after the other.
            ([[0i8, 0]; 9].as_slice(), [4, 4, 1].as_slice()),
            (&[[127, 0], [-128, 0], [1, 0]], &[2, 1]),
            (&[[127, 0], [127, 0], [1, 0], [1, 0]], &[3, 1]),
            (&[[-128, 0], [-128, 0], [127, 0], [1, 0]], &[1, 2, 1]),
            (&[[0, -128], [127, 127], [127, 0], [1, 0]], &[4]),
            (&[[0, -128], [127, 127], [127, 1], [1, 0]], &[2, 2]),
            (&[[0, -128], [127, 127], [127, 0], [2, 0]], &[3, 1]),
            (&[[85, 85], [-85, 85], [85, -85], [0, 0], [1, 0]], &[4, 1]),
        ] {
            let panel: Vec<u8> = columns.iter().flatten().map(|&w| w as u8).collect();
            let mut groups = vec![0; columns.len() + 1];
            write_groups(&panel, 2, &mut groups);
            let expected: Vec<u8> = sizes.iter().map(|size| 1 << (size - 1)).collect();
            assert_eq!(groups[..sizes.len()], expected, "{columns:?}");
            assert!(groups[sizes.len()..].iter().all(|&size| size == 0), "{columns:?}");
        }
    }
}
