//! Functions of floats whose every operation is fixed, so that vector kernels can give the same bits on every CPU.

/// e to the x, to about one unit in the last place, for x between −87 and 88; beyond, what it is at these bounds. NaN
/// stays.
///
/// x is n · ln 2 + r with an integer n, and exp(r) a polynomial: the method and the coefficients of the Cephes
/// library's `expf` (Moshier, 1989), with fused multiply-adds.
pub fn exp(x: f32) -> f32 {
    let x = x.clamp(-87.0, 88.0);
    // Added and taken away again, this rounds to an integer, ties to even.
    const ROUNDER: f32 = 12_582_912.0;
    let n = x.mul_add(std::f32::consts::LOG2_E, ROUNDER) - ROUNDER;
    // ln 2 in two parts; the products with the first are exact.
    let r = n.mul_add(2.121_944_4e-4, n.mul_add(-355.0 / 512.0, x));
    let coefficients = [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];
    let sum = coefficients.into_iter().fold(1.987_569_1e-4f32, |sum, coefficient| sum.mul_add(r, coefficient));
    let power_of_two = f32::from_bits(((n as i32 + 127) as u32) << 23);
    (sum.mul_add(r * r, r) + 1.0) * power_of_two
}

#[cfg(test)]
mod tests {
    #[test]
    fn exponentials_are_within_two_units_in_the_last_place() {
        for i in -86_999..88_000 {
            let x = i as f32 * 1e-3;
            let exact = f64::from(x).exp();
            let error = (f64::from(super::exp(x)) - exact).abs() / exact;
            assert!(error <= 2.4e-7, "exp({x}) is off by {error:e}");
        }
        assert!(super::exp(f32::NAN).is_nan());
        assert_eq!([f32::NEG_INFINITY, f32::INFINITY].map(super::exp), [-87.0, 88.0].map(super::exp));
    }
}
