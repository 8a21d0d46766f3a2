//! Sixteen lanes: the vectors that elementwise, pooling, depthwise and f32 kernels are written over, once for every
//! CPU.
//!
//! A kernel's body is a generic function over [`Simd`]; [`rows`] turns it into a function for each instruction set. The
//! value of a type that implements [`Simd`] exists only where the CPU has its instructions, so that its methods are
//! safe; loads and stores take references to arrays of 16. What an instruction set cannot say exactly alike does not
//! belong here: each operation is defined to the bit, in the scalar terms of its comment.
//!
//! Bodies keep to plain loops. A closure that is not inlined, as that of `array::map` may not be, is compiled without
//! the CPU's instructions, and vectors then pass through memory.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon_quantize;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
#[cfg(target_arch = "aarch64")]
pub(crate) use neon::Neon;

use crate::Activation;
use crate::quantized::{Addition, Output};

/// Lanes of every vector.
pub(crate) const LANES: usize = 16;

/// Vectors of 16 lanes in one instruction set. Every operation works lane by lane.
pub(crate) trait Simd: Copy {
    /// 16 floats.
    type F32: Copy;
    /// 16 integers.
    type I32: Copy;
    /// 16 integers of 16 bits.
    type I16: Copy;
    /// 16 activations.
    type Bytes: Copy;

    fn splat(self, value: f32) -> Self::F32;
    fn load(self, from: &[f32; LANES]) -> Self::F32;
    fn store(self, value: Self::F32, to: &mut [f32; LANES]);
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32;
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32;
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a.mul_add(b, c)`: rounds once.
    fn fma(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `if a > b { a } else { b }`
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `if a < b { a } else { b }`
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `if a.is_nan() { b } else { c }`
    fn if_nan(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// 2 to the power of an integer from −126 to 127; for any other number some float.
    fn power_of_two(self, n: Self::F32) -> Self::F32;

    fn splat_i32(self, value: i32) -> Self::I32;
    fn load_i32(self, from: &[i32; LANES]) -> Self::I32;
    /// Wraps around.
    fn add_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// Wraps around.
    fn sub_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// `a << BITS`
    fn shift_left_i32<const BITS: u32>(self, a: Self::I32) -> Self::I32;
    /// Wraps around.
    fn mul_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// `a >> bits`, with `bits` below 32.
    fn shift_right(self, a: Self::I32, bits: u32) -> Self::I32;
    fn to_f32(self, a: Self::I32) -> Self::F32;
    /// `from.map(i32::from)`
    fn widen(self, from: &[Activation; LANES]) -> Self::I32;

    fn store_i16(self, value: Self::I16, to: &mut [i16; LANES]);
    /// `from.map(i16::from)`, less the middle of an activation's range: what an `i8` stores instead.
    fn center(self, from: &[Activation; LANES]) -> Self::I16;
    /// Wraps around.
    fn add_i16(self, a: Self::I16, b: Self::I16) -> Self::I16;
    /// Wraps around.
    fn sub_i16(self, a: Self::I16, b: Self::I16) -> Self::I16;
    /// `a << BITS`
    fn shift_left_i16<const BITS: u32>(self, a: Self::I16) -> Self::I16;

    fn splat_bytes(self, value: Activation) -> Self::Bytes;
    fn load_bytes(self, from: &[Activation; LANES]) -> Self::Bytes;
    fn store_bytes(self, value: Self::Bytes, to: &mut [Activation; LANES]);
    fn max_bytes(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes;
    fn min_bytes(self, a: Self::Bytes, b: Self::Bytes) -> Self::Bytes;
    /// `values.map(|value| output.pack(value))`
    fn pack(self, values: Self::I32, output: &Output, to: &mut [Activation; LANES]);
    /// `scaled.map(|scaled| output.quantize(scaled))`, for what is not NaN.
    fn quantize(self, scaled: Self::F32, output: &Output, to: &mut [Activation; LANES]);

    /// [`Addition::apply`] to each lane.
    #[inline(always)]
    fn add_quantized(
        self,
        addition: &Addition,
        a: &[Activation; LANES],
        b: &[Activation; LANES],
        to: &mut [Activation; LANES],
    ) {
        let Addition { multipliers, offset, shift, output } = addition;
        let a = self.mul_i32(self.widen(a), self.splat_i32(multipliers[0]));
        let b = self.mul_i32(self.widen(b), self.splat_i32(multipliers[1]));
        let sum = self.add_i32(self.add_i32(a, b), self.splat_i32(*offset));
        self.pack(self.shift_right(sum, *shift), output, to);
    }

    /// [`quantize`](Self::quantize), and [`Addition::apply`] to that and another tensor's values.
    #[inline(always)]
    fn add_to_quantized(
        self,
        scaled: Self::F32,
        output: &Output,
        addition: &Addition,
        other: &[Activation; LANES],
        to: &mut [Activation; LANES],
    ) {
        let mut own = [0; LANES];
        self.quantize(scaled, output, &mut own);
        self.add_quantized(addition, &own, other, to);
    }

    /// The first `count` floats, at most 16, and zeros.
    ///
    /// # Safety
    /// They can be read.
    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, count: usize) -> Self::F32 {
        // SAFETY: as this function's; an array asks for no more alignment than its items.
        unsafe {
            if count == LANES {
                return self.load(&*from.cast());
            }
            let mut items = [0.0; LANES];
            from.copy_to_nonoverlapping(items.as_mut_ptr(), count);
            self.load(&items)
        }
    }

    /// Stores the first `count` floats, at most 16.
    ///
    /// # Safety
    /// They can be written.
    #[inline(always)]
    unsafe fn store_first(self, value: Self::F32, to: *mut f32, count: usize) {
        // SAFETY: as this function's; an array asks for no more alignment than its items.
        unsafe {
            if count == LANES {
                return self.store(value, &mut *to.cast());
            }
            let mut items = [0.0; LANES];
            self.store(value, &mut items);
            to.copy_from_nonoverlapping(items.as_ptr(), count);
        }
    }

    /// What [`clamp`](Self::clamp) needs of two bounds: a splat of each, and the zero that, added, makes −0 the lower
    /// bound where that is 0.
    #[inline(always)]
    fn splat_bounds(self, bounds: [f32; 2]) -> [Self::F32; 3] {
        let [min, max] = positive_zeros(bounds);
        [self.splat(min), self.splat(max), self.splat(0f32.copysign(min))]
    }

    /// [`clamp`] of each lane.
    #[inline(always)]
    fn clamp(self, x: Self::F32, [min, max, zero]: [Self::F32; 3]) -> Self::F32 {
        self.min(max, self.max(min, self.add(x, zero)))
    }
}

/// The clamp that ends every float operator. NaN stays.
pub(crate) fn clamp(x: f32, bounds: [f32; 2]) -> f32 {
    let [min, max] = positive_zeros(bounds);
    let x = if x <= min { min } else { x };
    if x > max { max } else { x }
}

/// Bounds to clamp to: with +0 for −0, so that instructions which order the two clamp to the same bits as those which
/// do not.
pub(crate) fn positive_zeros(bounds: [f32; 2]) -> [f32; 2] {
    bounds.map(|bound| bound + 0.0)
}

/// Defines the functions `avx2`, `avx512` and `neon`, where the architecture has them, that run a generic body over
/// [`Simd`]: `rows! { fn(args: &Args<'_>) = body }`.
macro_rules! rows {
    (unsafe fn($($arg:ident: $ty:ty),* $(,)?) = $body:ident) => {
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        pub(crate) unsafe fn avx2($($arg: $ty),*) {
            // SAFETY: as the body's.
            unsafe { $body($crate::simd::Avx2::new(), $($arg),*) }
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
        pub(crate) unsafe fn avx512($($arg: $ty),*) {
            // SAFETY: as the body's.
            unsafe { $body($crate::simd::Avx512::new(), $($arg),*) }
        }
        #[cfg(target_arch = "aarch64")]
        #[target_feature(enable = "neon")]
        pub(crate) unsafe fn neon($($arg: $ty),*) {
            // SAFETY: as the body's.
            unsafe { $body($crate::simd::Neon::new(), $($arg),*) }
        }
    };
    (fn($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? = $body:ident) => {
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        pub(crate) fn avx2($($arg: $ty),*) $(-> $ret)? {
            $body($crate::simd::Avx2::new(), $($arg),*)
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
        pub(crate) fn avx512($($arg: $ty),*) $(-> $ret)? {
            $body($crate::simd::Avx512::new(), $($arg),*)
        }
        #[cfg(target_arch = "aarch64")]
        #[target_feature(enable = "neon")]
        pub(crate) fn neon($($arg: $ty),*) $(-> $ret)? {
            $body($crate::simd::Neon::new(), $($arg),*)
        }
    };
}
pub(crate) use rows;

/// Goes over `$rows` rows in tiles of up to `$most` rows, nearly equal ones: `|ROWS, row| tile` is compiled for each
/// listed number of rows.
#[cfg(target_arch = "x86_64")]
macro_rules! for_each_tile {
    ($rows:expr, $most:ident, [$($count:literal)+], |$ROWS:ident, $row:ident| $tile:expr) => {{
        let tiles = $rows.div_ceil($most);
        let mut $row = 0;
        for tile in 0..tiles {
            let end = (tile + 1) * $rows / tiles;
            match end - $row {
                $($count => {
                    const $ROWS: usize = $count;
                    $tile
                })+
                _ => unreachable!("a tile has from 1 to {} rows", $most),
            }
            $row = end;
        }
    }};
}
#[cfg(target_arch = "x86_64")]
pub(crate) use for_each_tile;

/// The starts of `R` rows, which are `stride` bytes apart.
///
/// The compiler is kept from knowing that they are equally far apart: it would compute each address from the one
/// before, with an addition for each row in the innermost loop, instead of adding one common offset in the load. (Nor
/// may this be `from_fn`: a closure in a function with target features is not inlined into one without them.)
#[cfg(target_arch = "x86_64")]
#[expect(clippy::pointers_in_nomem_asm_block, reason = "only the address goes in and out")]
#[inline(always)]
pub(crate) fn rows_apart<T, const R: usize>(first: *const u8, stride: usize) -> [*const T; R] {
    let mut rows = [std::ptr::null(); R];
    for (r, start) in rows.iter_mut().enumerate() {
        let mut address = first.wrapping_add(r * stride);
        // SAFETY: a comment does nothing.
        unsafe { std::arch::asm!("/* {0} */", inout(reg) address, options(pure, nomem, nostack, preserves_flags)) };
        *start = address.cast();
    }
    rows
}

/// Where vectors begin that cover `len` items, the last one overlapping the one before. `len` is at least one vector.
#[inline(always)]
pub(crate) fn starts(len: usize) -> impl Iterator<Item = usize> {
    (0..len).step_by(LANES).map(move |start| start.min(len - LANES))
}

/// The vector that begins at `start`.
#[inline(always)]
pub(crate) fn vector<T>(items: &[T], start: usize) -> &[T; LANES] {
    items[start..].first_chunk().expect("a vector inside the slice")
}

/// As [`vector`], to write.
#[inline(always)]
pub(crate) fn vector_mut<T>(items: &mut [T], start: usize) -> &mut [T; LANES] {
    items[start..].first_chunk_mut().expect("a vector inside the slice")
}
