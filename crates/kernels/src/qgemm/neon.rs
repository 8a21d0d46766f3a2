//! NEON without dot products, as on the Cortex-A72: `smull` and `smlal` make products of bytes in 16 bits, and `sadalp`
//! adds neighbours to sums of 32.
//!
//! Neighbours are two bytes of the depth of one column, and a vector of the input is two bytes of a row, repeated: so
//! each lane of a sum is a column, nothing is left to add up at the end, and the epilogue finds rows as they are
//! written.
//!
//! Two products always fit into 16 bits if no weight is −128, and most weights are so small that four do: planning cuts
//! the depth of each panel into groups of pairs whose products fit, whatever the input. The more of them are added
//! before they are widened, the less is there to do.
//!
//! The sums of a tile are one block of assembly: the compiler would begin more products, and load more weights, than
//! there are registers. The CPU reorders by itself.

use std::arch::aarch64::*;
use std::arch::asm;

use super::neon_finish::{Way, finish, finish_tiles};
use super::{Block, Element, Kernel};

/// Sixteen registers are sums, four are products, eight hold the weights of a group, four the input.
const ROWS: usize = 4;
const COLUMNS: usize = 16;

pub(super) const KERNEL: Kernel = Kernel {
    rows: ROWS,
    columns: COLUMNS,
    granule: 8,
    depth_multiple: 2,
    depth_group: 2,
    weights: Element::Byte,
    input: Element::Byte,
    word_sums: true,
    multiply,
};

/// # Safety
/// As [`Kernel::multiply`]; the CPU has NEON.
#[target_feature(enable = "neon")]
unsafe fn multiply(block: &Block) {
    let way = Way::of(block);
    // SAFETY: the block has 16 or 8 columns, and the tiles are inside it.
    unsafe {
        if block.columns == COLUMNS {
            finish_tiles!(block, way, 4 sums_4, [1 sums_1 2 sums_2 3 sums_3]);
        } else {
            finish_tiles!(block, way, 4 half_sums_4, [1 half_sums_1 2 half_sums_2 3 half_sums_3]);
        }
    }
}

/// Multiplies pairs of the depth of a row, repeated in `$x`, with those of sixteen columns, or of eight.
macro_rules! products {
    ($op:literal, $x:literal, $w0:literal $w1:literal) => {
        concat!(
            $op,
            " v16.8h, v",
            $w0,
            ".8b, v",
            $x,
            ".8b\n",
            $op,
            "2 v17.8h, v",
            $w0,
            ".16b, v",
            $x,
            ".16b\n",
            $op,
            " v18.8h, v",
            $w1,
            ".8b, v",
            $x,
            ".8b\n",
            $op,
            "2 v19.8h, v",
            $w1,
            ".16b, v",
            $x,
            ".16b\n",
        )
    };
    ($op:literal, $x:literal, $w:literal) => {
        concat!($op, " v16.8h, v", $w, ".8b, v", $x, ".8b\n", $op, "2 v17.8h, v", $w, ".16b, v", $x, ".16b\n")
    };
}

/// Adds neighbours among the products to sums of sixteen columns, or of eight.
macro_rules! add {
    ($a:tt $b:tt $c:tt $d:tt) => {
        concat!(
            "sadalp ",
            $a,
            ".4s, v16.8h\n",
            "sadalp ",
            $b,
            ".4s, v17.8h\n",
            "sadalp ",
            $c,
            ".4s, v18.8h\n",
            "sadalp ",
            $d,
            ".4s, v19.8h\n",
        )
    };
    ($a:tt $b:tt) => {
        concat!("sadalp ", $a, ".4s, v16.8h\n", "sadalp ", $b, ".4s, v17.8h\n")
    };
}

/// Loads so many pairs of a row, each repeated in a register of its own, and moves on.
macro_rules! repeat {
    (4, $row:ident) => {
        concat!("ld4r {{v28.8h, v29.8h, v30.8h, v31.8h}}, [{", stringify!($row), "}], #8\n")
    };
    (3, $row:ident) => {
        concat!("ld3r {{v28.8h, v29.8h, v30.8h}}, [{", stringify!($row), "}], #6\n")
    };
    (2, $row:ident) => {
        concat!("ld2r {{v28.8h, v29.8h}}, [{", stringify!($row), "}], #4\n")
    };
    (1, $row:ident) => {
        concat!("ld1r {{v28.8h}}, [{", stringify!($row), "}], #2\n")
    };
}

/// A group of so many pairs, for sixteen columns and each row.
macro_rules! group {
    (4, $([$row:ident $($sum:tt)+])+) => {
        concat!(
            "ld1 {{v20.16b, v21.16b, v22.16b, v23.16b}}, [{weights}], #64\n",
            "ld1 {{v24.16b, v25.16b, v26.16b, v27.16b}}, [{weights}], #64\n",
            $(
                repeat!(4, $row),
                products!("smull", 28, 20 21),
                products!("smlal", 29, 22 23),
                products!("smlal", 30, 24 25),
                products!("smlal", 31, 26 27),
                add!($($sum)+),
            )+
        )
    };
    (3, $([$row:ident $($sum:tt)+])+) => {
        concat!(
            "ld1 {{v20.16b, v21.16b, v22.16b, v23.16b}}, [{weights}], #64\n",
            "ld1 {{v24.16b, v25.16b}}, [{weights}], #32\n",
            $(
                repeat!(3, $row),
                products!("smull", 28, 20 21),
                products!("smlal", 29, 22 23),
                products!("smlal", 30, 24 25),
                add!($($sum)+),
            )+
        )
    };
    (2, $([$row:ident $($sum:tt)+])+) => {
        concat!(
            "ld1 {{v20.16b, v21.16b, v22.16b, v23.16b}}, [{weights}], #64\n",
            $(
                repeat!(2, $row),
                products!("smull", 28, 20 21),
                products!("smlal", 29, 22 23),
                add!($($sum)+),
            )+
        )
    };
    (1, $([$row:ident $($sum:tt)+])+) => {
        concat!(
            "ld1 {{v20.16b, v21.16b}}, [{weights}], #32\n",
            $(repeat!(1, $row), products!("smull", 28, 20 21), add!($($sum)+),)+
        )
    };
}

/// A group of so many pairs, for eight columns and each row.
macro_rules! half_group {
    (4, $([$row:ident $($sum:tt)+])+) => {
        concat!(
            "ld1 {{v20.16b, v21.16b, v22.16b, v23.16b}}, [{weights}], #64\n",
            $(
                repeat!(4, $row),
                products!("smull", 28, 20),
                products!("smlal", 29, 21),
                products!("smlal", 30, 22),
                products!("smlal", 31, 23),
                add!($($sum)+),
            )+
        )
    };
    (3, $([$row:ident $($sum:tt)+])+) => {
        concat!(
            "ld1 {{v20.16b, v21.16b, v22.16b}}, [{weights}], #48\n",
            $(
                repeat!(3, $row),
                products!("smull", 28, 20),
                products!("smlal", 29, 21),
                products!("smlal", 30, 22),
                add!($($sum)+),
            )+
        )
    };
    (2, $([$row:ident $($sum:tt)+])+) => {
        concat!(
            "ld1 {{v20.16b, v21.16b}}, [{weights}], #32\n",
            $(
                repeat!(2, $row),
                products!("smull", 28, 20),
                products!("smlal", 29, 21),
                add!($($sum)+),
            )+
        )
    };
    (1, $([$row:ident $($sum:tt)+])+) => {
        concat!(
            "ld1 {{v20.16b}}, [{weights}], #16\n",
            $(repeat!(1, $row), products!("smull", 28, 20), add!($($sum)+),)+
        )
    };
}

/// The depth, group by group: `$group!` of sixteen columns, or of eight.
macro_rules! groups {
    ($block:ident, $first:ident, $group:ident, $name:expr, [$($load_bias:expr),+], [$($out:tt)+],
        $([$r:literal $row:ident $($sum:tt)+])+) => {
        asm!(
            $($load_bias,)+
            // The next group is most likely as long as the one before.
            "ldrb {size:w}, [{groups}], #1",
            "tbz {size:w}, #3, 3f",
            concat!("// LLVM-MCA-BEGIN ", $name),
            "2:",
            $group!(4, $([$row $($sum)+])+),
            "ldrb {size:w}, [{groups}], #1",
            "tbnz {size:w}, #3, 2b",
            "// LLVM-MCA-END",
            "3:",
            "tbz {size:w}, #2, 5f",
            concat!("// LLVM-MCA-BEGIN ", $name, "_threes"),
            "4:",
            $group!(3, $([$row $($sum)+])+),
            "ldrb {size:w}, [{groups}], #1",
            "tbnz {size:w}, #2, 4b",
            "// LLVM-MCA-END",
            "tbnz {size:w}, #3, 2b",
            "5:",
            "tbz {size:w}, #1, 7f",
            concat!("// LLVM-MCA-BEGIN ", $name, "_twos"),
            "6:",
            $group!(2, $([$row $($sum)+])+),
            "ldrb {size:w}, [{groups}], #1",
            "tbnz {size:w}, #1, 6b",
            "// LLVM-MCA-END",
            "tbnz {size:w}, #2, 4b",
            "tbnz {size:w}, #3, 2b",
            "7:",
            "cbz {size:w}, 8f",
            $group!(1, $([$row $($sum)+])+),
            "ldrb {size:w}, [{groups}], #1",
            "tbnz {size:w}, #3, 2b",
            "b 3b",
            "8:",
            $($row = inout(reg) $block.input_row($first + $r) => _,)+
            weights = inout(reg) $block.weights => _,
            groups = inout(reg) $block.groups => _,
            size = out(reg) _,
            bias = in(reg) $block.bias,
            $($out)+
            out("v16") _, out("v17") _, out("v18") _, out("v19") _,
            out("v20") _, out("v21") _, out("v22") _, out("v23") _,
            out("v24") _, out("v25") _, out("v26") _, out("v27") _,
            out("v28") _, out("v29") _, out("v30") _, out("v31") _,
            options(nostack, readonly, preserves_flags),
        )
    };
}

/// The sums of `$R` rows from `row` on, with the bias: of sixteen columns, and of eight.
macro_rules! tile {
    ($R:literal, $sums:ident, $half_sums:ident, $name:literal, $([$r:literal $row:ident $a:tt $b:tt $c:tt $d:tt])+) => {
        /// # Safety
        /// As [`multiply`]; the block has sixteen columns, and the rows are inside it.
        #[inline]
        #[target_feature(enable = "neon")]
        unsafe fn $sums(block: &Block, row: usize) -> [[int32x4_t; 4]; $R] {
            let mut sums = [[vdupq_n_s32(0); 4]; $R];
            // SAFETY: the groups are cuts of `depth`, of which the panel has all weights of sixteen columns and each
            // input row its bytes; there is a bias for each column.
            unsafe {
                groups!(
                    block, row, group, $name,
                    [$(concat!("ld1 {{", $a, ".4s, ", $b, ".4s, ", $c, ".4s, ", $d, ".4s}}, [{bias}]")),+],
                    [$(out($a) sums[$r][0], out($b) sums[$r][1], out($c) sums[$r][2], out($d) sums[$r][3],)+],
                    $([$r $row $a $b $c $d])+
                );
            }
            sums
        }

        /// # Safety
        /// As [`multiply`]; the block has eight columns, and the rows are inside it.
        #[inline]
        #[target_feature(enable = "neon")]
        unsafe fn $half_sums(block: &Block, row: usize) -> [[int32x4_t; 2]; $R] {
            let mut sums = [[vdupq_n_s32(0); 2]; $R];
            // SAFETY: as above, with eight columns.
            unsafe {
                groups!(
                    block, row, half_group, concat!($name, "_half"),
                    [$(concat!("ld1 {{", $a, ".4s, ", $b, ".4s}}, [{bias}]")),+],
                    [$(out($a) sums[$r][0], out($b) sums[$r][1],)+],
                    $([$r $row $a $b])+
                );
            }
            sums
        }
    };
}

tile!(1, sums_1, half_sums_1, "qgemm_1x16_neon", [0 r0 "v0" "v1" "v2" "v3"]);
tile!(2, sums_2, half_sums_2, "qgemm_2x16_neon",
    [0 r0 "v0" "v1" "v2" "v3"] [1 r1 "v4" "v5" "v6" "v7"]);
tile!(3, sums_3, half_sums_3, "qgemm_3x16_neon",
    [0 r0 "v0" "v1" "v2" "v3"] [1 r1 "v4" "v5" "v6" "v7"]
    [2 r2 "v8" "v9" "v10" "v11"]);
tile!(4, sums_4, half_sums_4, "qgemm_4x16_neon",
    [0 r0 "v0" "v1" "v2" "v3"] [1 r1 "v4" "v5" "v6" "v7"]
    [2 r2 "v8" "v9" "v10" "v11"] [3 r3 "v12" "v13" "v14" "v15"]);
