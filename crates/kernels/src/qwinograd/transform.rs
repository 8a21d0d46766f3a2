//! The transforms of Winograd's F(4, 3) in integers, one line of six at a time. Two dimensions are lines in one
//! direction, then lines in the other.
//!
//! For the points 0, ±1, ±2 and ∞ (Lavin and Gray 2016), the four sums of three products that six neighbouring values
//! and three weights make are `Aᵀ (G g ⊙ Bᵀ d)`. `G` has fractions with the denominator 24. Here its lines are
//! multiplied by 24, 6, 6, 24, 24 and 6, which makes them integers as small as can be, and the lines of `Aᵀ` by what is
//! needed so that each sum comes out as a known multiple of what it should be: [`output_line`].

/// Integers, or vectors of them, that wrap around.
pub(super) trait Ring: Copy {
    fn plus(self, other: Self) -> Self;
    fn minus(self, other: Self) -> Self;
    fn twice(self) -> Self;
    fn four_times(self) -> Self;
}

/// The integers modulo 2³², in which the plain row computes all.
impl Ring for i32 {
    fn plus(self, other: i32) -> i32 {
        self.wrapping_add(other)
    }

    fn minus(self, other: i32) -> i32 {
        self.wrapping_sub(other)
    }

    fn twice(self) -> i32 {
        self << 1
    }

    fn four_times(self) -> i32 {
        self << 2
    }
}

/// Values and weights on a side of a transformed tile.
pub(super) const INNER: usize = 6;
/// Outputs on a side of a tile.
pub(super) const OUTER: usize = 4;
/// Weights on a side of a window.
pub(super) const TAPS: usize = 3;

/// Farthest from 0 that a value of [`input_line`] is, in units of the farthest input.
const INPUT_GAIN: i32 = 10;
/// As [`INPUT_GAIN`], of [`weights_line`].
const WEIGHTS_GAIN: i32 = 7;
// In two dimensions all fits into 16 bits: inputs of 8 bits with a sign, and weights of 9 bits.
const _: () = assert!(INPUT_GAIN * INPUT_GAIN * 128 <= i16::MAX as i32);
const _: () = assert!(WEIGHTS_GAIN * WEIGHTS_GAIN * 255 <= i16::MAX as i32);

/// `Bᵀ d`
#[inline(always)]
pub(super) fn input_line<R: Ring>([d0, d1, d2, d3, d4, d5]: [R; INNER]) -> [R; INNER] {
    let (even, odd) = (d4.minus(d2.four_times()), d3.minus(d1.four_times()));
    let (c, e) = (d4.minus(d2), d3.minus(d1));
    [
        d0.minus(d2).four_times().plus(c),
        even.plus(odd),
        even.minus(odd),
        c.plus(e.twice()),
        c.minus(e.twice()),
        d5.minus(d3).minus(e.four_times()),
    ]
}

/// `G g`, its lines multiplied by 24, −6, −6, 24, 24 and 6.
pub(super) fn weights_line([g0, g1, g2]: [i32; TAPS]) -> [i32; INNER] {
    [6 * g0, g0 + g1 + g2, g0 - g1 + g2, g0 + 2 * g1 + 4 * g2, g0 - 2 * g1 + 4 * g2, 6 * g2]
}

/// `Aᵀ m` for products with the weights of [`weights_line`]: the four sums, times 3 · 2ⁿ with the n of [`SHIFTS`].
#[inline(always)]
pub(super) fn output_line<R: Ring>([m0, m1, m2, m3, m4, m5]: [R; INNER]) -> [R; OUTER] {
    let (p, q) = (m1.plus(m2), m1.minus(m2));
    let (r, s) = (m3.plus(m4), m3.minus(m4));
    [m0.plus(r).minus(p.four_times()), s.minus(q.twice()), r.minus(p), s.twice().minus(q).plus(m5)]
}

/// See [`output_line`].
const SHIFTS: [u32; OUTER] = [3, 2, 1, 1];

/// In two dimensions a sum comes out times 9 · 2ⁿ; this is n.
pub(super) const fn shift(y: usize, x: usize) -> u32 {
    SHIFTS[y] + SHIFTS[x]
}

/// 1/9 modulo 2³²: what is 9 · 2ⁿ times the sum, modulo 2³², becomes 2ⁿ times the sum.
pub(super) const NINTH: i32 = 954_437_177;
const _: () = assert!(NINTH.wrapping_mul(9) == 1);

/// A sum is known modulo 2³² / 2ⁿ: if none is as far from 0 as this, it is known.
pub(super) const REACH: i64 = 1 << (31 - shift(0, 0));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    #[test]
    fn a_line_is_four_sums() {
        let mut random = Random::new(1);
        for _ in 0..1000 {
            let d: [i32; INNER] = std::array::from_fn(|_| random.within(-128, 127));
            let g: [i32; TAPS] = std::array::from_fn(|_| random.within(-255, 255));
            let (input, weights) = (input_line(d), weights_line(g));
            assert!(input.iter().all(|value| value.abs() <= INPUT_GAIN * 128), "{input:?}");
            assert!(weights.iter().all(|value| value.abs() <= WEIGHTS_GAIN * 255), "{weights:?}");
            let sums = output_line(std::array::from_fn(|i| input[i] * weights[i]));
            for (y, sum) in sums.into_iter().enumerate() {
                let expected = (0..TAPS).map(|tap| d[y + tap] * g[tap]).sum::<i32>();
                assert_eq!(sum, (3 * expected) << SHIFTS[y], "sum {y} of {d:?} and {g:?}");
            }
        }
    }

    #[test]
    fn gains_are_reached() {
        let reached = |lines: Vec<i32>| lines.into_iter().map(i32::abs).max();
        let signs = |bits: usize, n: usize| if bits >> n & 1 == 0 { 1 } else { -1 };
        let input = (0..1 << INNER).flat_map(|bits| input_line(std::array::from_fn(|n| signs(bits, n))));
        assert_eq!(reached(input.collect()), Some(INPUT_GAIN));
        let weights = (0..1 << TAPS).flat_map(|bits| weights_line(std::array::from_fn(|n| signs(bits, n))));
        assert_eq!(reached(weights.collect()), Some(WEIGHTS_GAIN));
    }
}
