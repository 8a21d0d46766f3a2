//! Weights as a kernel reads them: zero points folded away, columns in panels, the depth in groups. Done once.

use crate::memory::{Aligned, AlignedBytes};
use crate::quantized::{Requantize, Weights, reach};

use super::{Element, Kernel};

/// The weights of a convolution, ready for one kernel. Everything is padded to whole panels: group after group, panel after
/// panel.
pub(super) struct Packed {
    /// For each panel `[depth / depth_group][columns][depth_group]`; only the last group of a panel may be narrower.
    pub(super) weights: AlignedBytes,
    /// `bias − input_zero_point · Σ weights`, so that the kernel multiplies activations as they lie in memory.
    pub(super) bias: Aligned<i32>,
    /// Padded with zeros.
    pub(super) multipliers: Aligned<f32>,
    /// What was taken off the weights of each column so that they fit; the kernel adds it times the sum of the input row.
    /// `None` if it is 0 for all.
    pub(super) shifts: Option<Aligned<i32>>,
    /// Whether a packed byte is −128, whose products with −128 do not fit in pairs into 16 bits.
    pub(super) has_lowest: bool,
    /// No scaled sum is further from 0, whatever the input.
    pub(super) reach: f32,
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
        has_lowest: false,
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
            let shift = shift_to_bytes(&column[..shape.depth], kernel.least_weight);
            shifts[at] = shift.into();
            column[..shape.depth].iter_mut().for_each(|w| *w -= shift);
            packed.has_lowest |= column.contains(&-128);
        }
        let panel = n / kernel.columns * kernel.columns;
        let width = kernel.columns.min(padded_columns - panel);
        let start = (group * padded_columns + panel) * padded_depth * kernel.weights.size();
        write_column(kernel, &column, width, n - panel, &mut packed.weights[start..]);
    }
    packed.shifts = shifts.iter().any(|&shift| shift != 0).then_some(shifts);
    packed
}

/// What to subtract from `column`, whose values span at most 255, so that it fits into bytes: 0 if it does already, and
/// where possible nothing below `least` comes out.
fn shift_to_bytes(column: &[i16], least: i16) -> i16 {
    let (min, max) = column.iter().fold((0, 0), |(min, max), &w| (w.min(min), w.max(max)));
    if min >= least && max <= 127 {
        0
    } else if max > 127 {
        max - 127
    } else if max - min + least <= 127 {
        min - least
    } else {
        min + 128
    }
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
        for (least, column, shift, lowest) in [
            (-127, [-127i16, 0, 127], 0, -127),
            (-128, [-128, 0, 127], 0, -128),
            (-127, [-128, 0, 126], -1, -127),
            (-127, [-128, 0, 127], 0, -128),
            (-127, [-120, 0, 135], 8, -128),
            (-127, [-200, -100, 0], -73, -127),
            (-128, [-255, -100, 0], -127, -128),
            (-127, [-255, -100, 0], -127, -128),
            (-127, [0, 100, 255], 128, -128),
            (-127, [0, 0, 0], 0, 0),
        ] {
            let found = shift_to_bytes(&column, least);
            assert_eq!(found, shift, "{column:?}");
            let shifted = column.map(|w| w - found);
            assert!(shifted.iter().all(|&w| (lowest..=127).contains(&w)), "{shifted:?}");
        }
    }
}
