//! NEON with dot products, as on the Cortex-A76: `sdot` adds four products of bytes to each of four sums. A vector
//! holds four bytes of the depth for four columns; of the input, sixteen bytes of a row, of which each `sdot` takes
//! four.
//!
//! The sums of a tile are one block of assembly: the compiler would keep weights for longer than there are registers,
//! and compute addresses that the loads can count up by themselves.

use std::arch::aarch64::*;
use std::arch::asm;

use super::neon_finish::{Way, finish, finish_tiles};
use super::{Block, Element, Kernel};

/// Twenty registers are sums, five hold the input, four weights, which come with one instruction. A sixth row would
/// leave weights only two.
const ROWS: usize = 5;
const COLUMNS: usize = 16;

pub(super) const KERNEL: Kernel = Kernel {
    rows: ROWS,
    columns: COLUMNS,
    granule: 8,
    depth_multiple: 4,
    depth_group: 4,
    weights: Element::Byte,
    input: Element::Byte,
    word_sums: false,
    multiply,
};

/// # Safety
/// As [`Kernel::multiply`]; the CPU has dot products.
#[target_feature(enable = "neon,dotprod")]
unsafe fn multiply(block: &Block) {
    let way = Way::of(block);
    // SAFETY: the block has 16 or 8 columns, and the tiles are inside it.
    unsafe {
        if block.columns == COLUMNS {
            finish_tiles!(block, way, 5 sums_5, [1 sums_1 2 sums_2 3 sums_3 4 sums_4]);
        } else {
            finish_tiles!(
                block, way, 5 half_sums_5, [1 half_sums_1 2 half_sums_2 3 half_sums_3 4 half_sums_4]
            );
        }
    }
}

/// Loads this much of the depth of each row, and moves on. Registers: row and where to load.
macro_rules! load {
    (16, $([$row:ident $x:literal])+) => { concat!($("ldr q", $x, ", [{", stringify!($row), "}], #16\n"),+) };
    (8, $([$row:ident $x:literal])+) => { concat!($("ldr d", $x, ", [{", stringify!($row), "}], #8\n"),+) };
    (4, $([$row:ident $x:literal])+) => { concat!($("ldr s", $x, ", [{", stringify!($row), "}], #4\n"),+) };
}

/// Four bytes of the depth of each row, which are a lane of its register, times those of so many columns.
macro_rules! sdot {
    ($lane:literal, $weights:literal, $([$x:literal $sum:tt])+) => {
        concat!($("sdot ", $sum, ".4s, ", $weights, ".16b, v", $x, ".4b[", $lane, "]\n"),+)
    };
}

/// Sixteen columns: four registers of weights for each four bytes of the depth.
macro_rules! sums {
    ($block:ident, $first:ident, $name:literal,
        $([$r:literal $before:ident $row:ident $x:literal $a:tt $b:tt $c:tt $d:tt])+) => {{
        let mut sums = [[vdupq_n_s32(0); 4]; _];
        asm!(
            $(concat!("add {", stringify!($row), "}, {", stringify!($before), "}, {stride}"),)+
            $(concat!("ld1 {{", $a, ".4s, ", $b, ".4s, ", $c, ".4s, ", $d, ".4s}}, [{bias}]"),)+
            "cbz {sixteens}, 3f",
            concat!("// LLVM-MCA-BEGIN ", $name),
            "2:",
            load!(16, $([$row $x])+),
            "ld1 {{v28.16b, v29.16b, v30.16b, v31.16b}}, [{weights}], #64",
            four_deep!(0, $([$x $a $b $c $d])+),
            "ld1 {{v28.16b, v29.16b, v30.16b, v31.16b}}, [{weights}], #64",
            four_deep!(1, $([$x $a $b $c $d])+),
            "ld1 {{v28.16b, v29.16b, v30.16b, v31.16b}}, [{weights}], #64",
            four_deep!(2, $([$x $a $b $c $d])+),
            "ld1 {{v28.16b, v29.16b, v30.16b, v31.16b}}, [{weights}], #64",
            four_deep!(3, $([$x $a $b $c $d])+),
            "subs {sixteens}, {sixteens}, #1",
            "b.ne 2b",
            "// LLVM-MCA-END",
            "3:",
            "tbz {depth}, #3, 4f",
            load!(8, $([$row $x])+),
            "ld1 {{v28.16b, v29.16b, v30.16b, v31.16b}}, [{weights}], #64",
            four_deep!(0, $([$x $a $b $c $d])+),
            "ld1 {{v28.16b, v29.16b, v30.16b, v31.16b}}, [{weights}], #64",
            four_deep!(1, $([$x $a $b $c $d])+),
            "4:",
            "tbz {depth}, #2, 5f",
            load!(4, $([$row $x])+),
            "ld1 {{v28.16b, v29.16b, v30.16b, v31.16b}}, [{weights}]",
            four_deep!(0, $([$x $a $b $c $d])+),
            "5:",
            before = in(reg) $block.input_row($first).wrapping_sub($block.input_stride),
            stride = in(reg) $block.input_stride,
            $($row = out(reg) _,)+
            weights = inout(reg) $block.weights => _,
            sixteens = inout(reg) $block.depth / 16 => _,
            depth = in(reg) $block.depth,
            bias = in(reg) $block.bias,
            $(out($a) sums[$r][0], out($b) sums[$r][1], out($c) sums[$r][2], out($d) sums[$r][3],)+
            out("v20") _, out("v21") _, out("v22") _, out("v23") _, out("v24") _,
            out("v28") _, out("v29") _, out("v30") _, out("v31") _,
            options(nostack, readonly),
        );
        sums
    }};
}

macro_rules! four_deep {
    ($lane:literal, $([$x:literal $a:tt $b:tt $c:tt $d:tt])+) => {
        concat!(
            sdot!($lane, "v28", $([$x $a])+),
            sdot!($lane, "v29", $([$x $b])+),
            sdot!($lane, "v30", $([$x $c])+),
            sdot!($lane, "v31", $([$x $d])+),
        )
    };
}

/// Eight columns: two registers of weights for each four bytes of the depth.
macro_rules! half_sums {
    ($block:ident, $first:ident,
        $([$r:literal $before:ident $row:ident $x:literal $a:tt $b:tt])+) => {{
        let mut sums = [[vdupq_n_s32(0); 2]; _];
        asm!(
            $(concat!("add {", stringify!($row), "}, {", stringify!($before), "}, {stride}"),)+
            $(concat!("ld1 {{", $a, ".4s, ", $b, ".4s}}, [{bias}]"),)+
            "cbz {sixteens}, 3f",
            "2:",
            load!(16, $([$row $x])+),
            "ld1 {{v28.16b, v29.16b, v30.16b, v31.16b}}, [{weights}], #64",
            half_four_deep!(0, "v28", "v29", $([$x $a $b])+),
            half_four_deep!(1, "v30", "v31", $([$x $a $b])+),
            "ld1 {{v28.16b, v29.16b, v30.16b, v31.16b}}, [{weights}], #64",
            half_four_deep!(2, "v28", "v29", $([$x $a $b])+),
            half_four_deep!(3, "v30", "v31", $([$x $a $b])+),
            "subs {sixteens}, {sixteens}, #1",
            "b.ne 2b",
            "3:",
            "tbz {depth}, #3, 4f",
            load!(8, $([$row $x])+),
            "ld1 {{v28.16b, v29.16b, v30.16b, v31.16b}}, [{weights}], #64",
            half_four_deep!(0, "v28", "v29", $([$x $a $b])+),
            half_four_deep!(1, "v30", "v31", $([$x $a $b])+),
            "4:",
            "tbz {depth}, #2, 5f",
            load!(4, $([$row $x])+),
            "ld1 {{v28.16b, v29.16b}}, [{weights}]",
            half_four_deep!(0, "v28", "v29", $([$x $a $b])+),
            "5:",
            before = in(reg) $block.input_row($first).wrapping_sub($block.input_stride),
            stride = in(reg) $block.input_stride,
            $($row = out(reg) _,)+
            weights = inout(reg) $block.weights => _,
            sixteens = inout(reg) $block.depth / 16 => _,
            depth = in(reg) $block.depth,
            bias = in(reg) $block.bias,
            $(out($a) sums[$r][0], out($b) sums[$r][1],)+
            out("v20") _, out("v21") _, out("v22") _, out("v23") _, out("v24") _,
            out("v28") _, out("v29") _, out("v30") _, out("v31") _,
            options(nostack, readonly),
        );
        sums
    }};
}

macro_rules! half_four_deep {
    ($lane:literal, $near:literal, $far:literal, $([$x:literal $a:tt $b:tt])+) => {
        concat!(sdot!($lane, $near, $([$x $a])+), sdot!($lane, $far, $([$x $b])+))
    };
}

/// The sums of `$R` rows from `row` on, with the bias: of sixteen columns, and of eight.
macro_rules! tile {
    ($R:literal, $sums:ident, $half_sums:ident, $name:literal,
        $([$r:literal $before:ident $row:ident $x:literal $a:tt $b:tt $c:tt $d:tt])+) => {
        /// # Safety
        /// As [`multiply`]; the block has sixteen columns, and the rows are inside it.
        #[inline]
        #[target_feature(enable = "neon,dotprod")]
        unsafe fn $sums(block: &Block, row: usize) -> [[int32x4_t; 4]; $R] {
            // SAFETY: `depth` is a multiple of 4, and for each four of it the panel has four weights of each of sixteen
            // columns; each input row has `depth` bytes, and there is a bias for each column.
            unsafe { sums!(block, row, $name, $([$r $before $row $x $a $b $c $d])+) }
        }

        /// # Safety
        /// As [`multiply`]; the block has eight columns, and the rows are inside it.
        #[inline]
        #[target_feature(enable = "neon,dotprod")]
        unsafe fn $half_sums(block: &Block, row: usize) -> [[int32x4_t; 2]; $R] {
            // SAFETY: as above, with eight columns.
            unsafe { half_sums!(block, row, $([$r $before $row $x $a $b])+) }
        }
    };
}

tile!(1, sums_1, half_sums_1, "qgemm_1x16_neon_dot", [0 before r0 20 "v0" "v1" "v2" "v3"]);
tile!(2, sums_2, half_sums_2, "qgemm_2x16_neon_dot",
    [0 before r0 20 "v0" "v1" "v2" "v3"] [1 r0 r1 21 "v4" "v5" "v6" "v7"]);
tile!(3, sums_3, half_sums_3, "qgemm_3x16_neon_dot",
    [0 before r0 20 "v0" "v1" "v2" "v3"] [1 r0 r1 21 "v4" "v5" "v6" "v7"] [2 r1 r2 22 "v8" "v9" "v10" "v11"]);
tile!(4, sums_4, half_sums_4, "qgemm_4x16_neon_dot",
    [0 before r0 20 "v0" "v1" "v2" "v3"] [1 r0 r1 21 "v4" "v5" "v6" "v7"] [2 r1 r2 22 "v8" "v9" "v10" "v11"]
    [3 r2 r3 23 "v12" "v13" "v14" "v15"]);
tile!(5, sums_5, half_sums_5, "qgemm_5x16_neon_dot",
    [0 before r0 20 "v0" "v1" "v2" "v3"] [1 r0 r1 21 "v4" "v5" "v6" "v7"] [2 r1 r2 22 "v8" "v9" "v10" "v11"]
    [3 r2 r3 23 "v12" "v13" "v14" "v15"] [4 r3 r4 24 "v16" "v17" "v18" "v19"]);
