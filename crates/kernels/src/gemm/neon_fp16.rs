//! NEON with arithmetic on halves: tiles of up to eight pixels by sixteen channels, whose sums are halves as well, of
//! up to [`Element::MOST_SUMMED`](super::Element) products; they are widened and added to the output's floats. An
//! element of the depth is two registers of weights and, for each pixel, a multiplication of them by a lane.
//!
//! A tile is one block of assembly, as in [`super::neon`]: halves have no intrinsics in stable Rust.

use std::arch::asm;

use super::neon::on_whole_registers;
use super::{Half, Kernel, Tile, tiles};

/// Pixels of a tile in registers.
const ROWS: usize = 8;
/// Channels of a register.
const LANES: usize = 8;

pub(super) const KERNEL: Kernel<Half> = Kernel { rows: 4 * ROWS, columns: 2 * LANES, vector: LANES, run, round };

/// # Safety
/// As [`super::Run`].
#[target_feature(enable = "neon,fp16")]
unsafe fn run(tile: &Tile<Half>) {
    // SAFETY: the same condition.
    unsafe { on_whole_registers::<Half, LANES>(tile, multiply) }
}

/// # Safety
/// As [`super::Run`]; the columns are whole registers.
#[target_feature(enable = "neon,fp16")]
unsafe fn multiply(tile: &Tile<Half>) {
    for (row, height) in tiles(tile.rows, ROWS) {
        // SAFETY: the same condition; so many rows are below `row`.
        unsafe {
            match (height, tile.columns / LANES) {
                (8, 2) => tile_8x16(tile, row),
                (7, 2) => tile_7x16(tile, row),
                (6, 2) => tile_6x16(tile, row),
                (5, 2) => tile_5x16(tile, row),
                (4, 2) => tile_4x16(tile, row),
                (3, 2) => tile_3x16(tile, row),
                (2, 2) => tile_2x16(tile, row),
                (1, 2) => tile_1x16(tile, row),
                (8, _) => tile_8x8(tile, row),
                (7, _) => tile_7x8(tile, row),
                (6, _) => tile_6x8(tile, row),
                (5, _) => tile_5x8(tile, row),
                (4, _) => tile_4x8(tile, row),
                (3, _) => tile_3x8(tile, row),
                (2, _) => tile_2x8(tile, row),
                (_, _) => tile_1x8(tile, row),
            }
        }
    }
}

/// # Safety
/// There must be as many elements as floats.
#[target_feature(enable = "neon")]
unsafe fn round(from: &[f32], to: &mut [Half]) {
    let (wholes, rest) = from.as_chunks::<LANES>();
    let (to_wholes, to_rest) = to.as_chunks_mut::<LANES>();
    wholes.iter().zip(to_wholes).for_each(|(from, to)| round_eight(from, to));
    let (mut padded, mut rounded) = ([0.0; LANES], [Half::default(); LANES]);
    padded[..rest.len()].copy_from_slice(rest);
    round_eight(&padded, &mut rounded);
    to_rest.copy_from_slice(&rounded[..rest.len()]);
}

#[inline]
#[target_feature(enable = "neon")]
fn round_eight(from: &[f32; LANES], to: &mut [Half; LANES]) {
    // SAFETY: it reads and writes the arrays.
    unsafe {
        asm!(
            "ldp {a:q}, {b:q}, [{from}]",
            "fcvtn {a:v}.4h, {a:v}.4s",
            "fcvtn2 {a:v}.8h, {b:v}.4s",
            "str {a:q}, [{to}]",
            a = out(vreg) _,
            b = out(vreg) _,
            from = in(reg) from,
            to = in(reg) to,
            options(nostack, preserves_flags),
        );
    }
}

/// Adds to the sums of each row the products of the registers `$w` of weights and a lane of `$x`.
macro_rules! products {
    ($lane:literal, $w:tt, $([$x:literal $sums:tt])+) => {
        concat!($(row_products!($lane, $x, $w, $sums)),+)
    };
}
macro_rules! row_products {
    ($lane:literal, $x:literal, [$($w:literal)+], [$($sum:literal)+]) => {
        concat!($("fmla v", $sum, ".8h, v", $w, ".8h, v", $x, ".h[", $lane, "]\n"),+)
    };
}

/// Eight elements of the depth, which lie in the register `$x` of each row, for so many registers of weights.
macro_rules! eight {
    (2, $($row:tt)+) => {
        concat!(
            "ld1 {{v8.8h, v9.8h, v10.8h, v11.8h}}, [{weights}], #64\n",
            products!(0, [8 9], $($row)+),
            products!(1, [10 11], $($row)+),
            "ld1 {{v12.8h, v13.8h, v14.8h, v15.8h}}, [{weights}], #64\n",
            products!(2, [12 13], $($row)+),
            products!(3, [14 15], $($row)+),
            "ld1 {{v8.8h, v9.8h, v10.8h, v11.8h}}, [{weights}], #64\n",
            products!(4, [8 9], $($row)+),
            products!(5, [10 11], $($row)+),
            "ld1 {{v12.8h, v13.8h, v14.8h, v15.8h}}, [{weights}], #64\n",
            products!(6, [12 13], $($row)+),
            products!(7, [14 15], $($row)+),
        )
    };
    (1, $($row:tt)+) => {
        concat!(
            "ld1 {{v8.8h, v9.8h, v10.8h, v11.8h}}, [{weights}], #64\n",
            products!(0, [8], $($row)+),
            products!(1, [9], $($row)+),
            products!(2, [10], $($row)+),
            products!(3, [11], $($row)+),
            "ld1 {{v12.8h, v13.8h, v14.8h, v15.8h}}, [{weights}], #64\n",
            products!(4, [12], $($row)+),
            products!(5, [13], $($row)+),
            products!(6, [14], $($row)+),
            products!(7, [15], $($row)+),
        )
    };
}

/// A single element, likewise.
macro_rules! one {
    (2, $($row:tt)+) => { concat!("ldp q8, q9, [{weights}], #32\n", products!(0, [8 9], $($row)+)) };
    (1, $($row:tt)+) => { concat!("ldr q8, [{weights}], #16\n", products!(0, [8], $($row)+)) };
}

/// Widens the sums of a row, adds them to what they go on from, adds the residual, clamps and stores. The bounds are in
/// `v0` and `v1`; NaN stays.
macro_rules! finish_row {
    ([$a:literal $b:literal]) => {
        concat!(
            "ld1 {{v12.4s, v13.4s, v14.4s, v15.4s}}, [{from}], {from_step}\n",
            "fcvtl v8.4s, v", $a, ".4h\n",
            "fcvtl2 v9.4s, v", $a, ".8h\n",
            "fcvtl v10.4s, v", $b, ".4h\n",
            "fcvtl2 v11.4s, v", $b, ".8h\n",
            add!([8 12] [9 13] [10 14] [11 15]),
            "cbz {residual}, 9f\n",
            "ld1 {{v12.4s, v13.4s, v14.4s, v15.4s}}, [{residual}], {stride}\n",
            add!([8 12] [9 13] [10 14] [11 15]),
            "9:\n",
            clamp!(8 9 10 11),
            "st1 {{v8.4s, v9.4s, v10.4s, v11.4s}}, [{output}], {stride}",
        )
    };
    ([$a:literal]) => {
        concat!(
            "ld1 {{v12.4s, v13.4s}}, [{from}], {from_step}\n",
            "fcvtl v8.4s, v", $a, ".4h\n",
            "fcvtl2 v9.4s, v", $a, ".8h\n",
            add!([8 12] [9 13]),
            "cbz {residual}, 9f\n",
            "ld1 {{v12.4s, v13.4s}}, [{residual}], {stride}\n",
            add!([8 12] [9 13]),
            "9:\n",
            clamp!(8 9),
            "st1 {{v8.4s, v9.4s}}, [{output}], {stride}",
        )
    };
}
macro_rules! add {
    ($([$sum:literal $other:literal])+) => {
        concat!($("fadd v", $sum, ".4s, v", $sum, ".4s, v", $other, ".4s\n"),+)
    };
}
macro_rules! clamp {
    ($($sum:literal)+) => {
        concat!(
            $("fmax v", $sum, ".4s, v", $sum, ".4s, v0.4s\n",)+
            $("fmin v", $sum, ".4s, v", $sum, ".4s, v1.4s\n",)+
        )
    };
}
macro_rules! clear {
    ([$($sum:literal)+]) => { concat!($("movi v", $sum, ".16b, #0\n"),+) };
}

/// Defines the function for tiles of `$V` registers of columns. For each row: its pointer, where that lies among the
/// pieces' pointers, the register for its elements, and those of its sums.
macro_rules! tile {
    ($name:ident, $V:tt, $([$row:ident $at:literal $x:literal $sums:tt])+) => {
        /// # Safety
        /// As [`super::Run`]; so many rows lie below `row`.
        #[target_feature(enable = "neon,fp16")]
        unsafe fn $name(tile: &Tile<Half>, row: usize) {
            let (at, stride) = (row * tile.stride, tile.stride * size_of::<f32>());
            let output = tile.output.wrapping_add(at);
            let residual = if tile.residual.is_null() { tile.residual } else { tile.residual.wrapping_add(at) };
            let (from, from_step) =
                if tile.start.is_null() { (output.cast_const(), stride) } else { (tile.start, 0) };
            // SAFETY: rows and columns are inside the tile, pieces and elements inside the window, and weights and
            // biases are whole registers.
            unsafe {
                asm!(
                    $(clear!($sums),)+
                    "cbz {pieces_left}, 8f",
                    "4:",
                    $(concat!("ldr {", stringify!($row), "}, [{piece}, #", $at, "]"),)+
                    "add {piece}, {piece}, {piece_step}",
                    $(concat!("add {", stringify!($row), "}, {", stringify!($row), "}, {offset}"),)+
                    "subs {left}, {len}, #8",
                    "b.lo 6f",
                    "5:",
                    $(concat!("ldr q", $x, ", [{", stringify!($row), "}], #16"),)+
                    eight!($V, $([$x $sums])+),
                    "subs {left}, {left}, #8",
                    "b.hs 5b",
                    "6:",
                    // Up to seven last elements of a piece.
                    "ands {left}, {left}, #7",
                    "b.eq 7f",
                    "3:",
                    $(concat!("ldr h", $x, ", [{", stringify!($row), "}], #2"),)+
                    one!($V, $([$x $sums])+),
                    "subs {left}, {left}, #1",
                    "b.ne 3b",
                    "7:",
                    "subs {pieces_left}, {pieces_left}, #1",
                    "b.ne 4b",
                    "8:",
                    "ld2r {{v0.4s, v1.4s}}, [{bounds}]",
                    $(finish_row!($sums),)+
                    $($row = out(reg) _,)+
                    left = out(reg) _,
                    piece = inout(reg) tile.pieces.wrapping_add(row) => _,
                    weights = inout(reg) tile.weights => _,
                    pieces_left = inout(reg) tile.count => _,
                    output = inout(reg) output => _,
                    residual = inout(reg) residual => _,
                    from = inout(reg) from => _,
                    from_step = in(reg) from_step,
                    piece_step = in(reg) tile.rows * size_of::<*const Half>(),
                    offset = in(reg) tile.offset * size_of::<Half>(),
                    len = in(reg) tile.len,
                    stride = in(reg) stride,
                    bounds = in(reg) tile.bounds.as_ptr(),
                    out("v0") _, out("v1") _, out("v2") _, out("v3") _,
                    out("v4") _, out("v5") _, out("v6") _, out("v7") _,
                    out("v8") _, out("v9") _, out("v10") _, out("v11") _,
                    out("v12") _, out("v13") _, out("v14") _, out("v15") _,
                    out("v16") _, out("v17") _, out("v18") _, out("v19") _,
                    out("v20") _, out("v21") _, out("v22") _, out("v23") _,
                    out("v24") _, out("v25") _, out("v26") _, out("v27") _,
                    out("v28") _, out("v29") _, out("v30") _, out("v31") _,
                    options(nostack),
                );
            }
        }
    };
}

tile!(tile_8x16, 2,
    [row0 0 0 [16 17]]
    [row1 8 1 [18 19]]
    [row2 16 2 [20 21]]
    [row3 24 3 [22 23]]
    [row4 32 4 [24 25]]
    [row5 40 5 [26 27]]
    [row6 48 6 [28 29]]
    [row7 56 7 [30 31]]);
tile!(tile_7x16, 2,
    [row0 0 0 [16 17]]
    [row1 8 1 [18 19]]
    [row2 16 2 [20 21]]
    [row3 24 3 [22 23]]
    [row4 32 4 [24 25]]
    [row5 40 5 [26 27]]
    [row6 48 6 [28 29]]);
tile!(tile_6x16, 2,
    [row0 0 0 [16 17]]
    [row1 8 1 [18 19]]
    [row2 16 2 [20 21]]
    [row3 24 3 [22 23]]
    [row4 32 4 [24 25]]
    [row5 40 5 [26 27]]);
tile!(tile_5x16, 2,
    [row0 0 0 [16 17]]
    [row1 8 1 [18 19]]
    [row2 16 2 [20 21]]
    [row3 24 3 [22 23]]
    [row4 32 4 [24 25]]);
tile!(tile_4x16, 2,
    [row0 0 0 [16 17]]
    [row1 8 1 [18 19]]
    [row2 16 2 [20 21]]
    [row3 24 3 [22 23]]);
tile!(tile_3x16, 2,
    [row0 0 0 [16 17]]
    [row1 8 1 [18 19]]
    [row2 16 2 [20 21]]);
tile!(tile_2x16, 2,
    [row0 0 0 [16 17]]
    [row1 8 1 [18 19]]);
tile!(tile_1x16, 2,
    [row0 0 0 [16 17]]);
tile!(tile_8x8, 1,
    [row0 0 0 [16]]
    [row1 8 1 [17]]
    [row2 16 2 [18]]
    [row3 24 3 [19]]
    [row4 32 4 [20]]
    [row5 40 5 [21]]
    [row6 48 6 [22]]
    [row7 56 7 [23]]);
tile!(tile_7x8, 1,
    [row0 0 0 [16]]
    [row1 8 1 [17]]
    [row2 16 2 [18]]
    [row3 24 3 [19]]
    [row4 32 4 [20]]
    [row5 40 5 [21]]
    [row6 48 6 [22]]);
tile!(tile_6x8, 1,
    [row0 0 0 [16]]
    [row1 8 1 [17]]
    [row2 16 2 [18]]
    [row3 24 3 [19]]
    [row4 32 4 [20]]
    [row5 40 5 [21]]);
tile!(tile_5x8, 1,
    [row0 0 0 [16]]
    [row1 8 1 [17]]
    [row2 16 2 [18]]
    [row3 24 3 [19]]
    [row4 32 4 [20]]);
tile!(tile_4x8, 1,
    [row0 0 0 [16]]
    [row1 8 1 [17]]
    [row2 16 2 [18]]
    [row3 24 3 [19]]);
tile!(tile_3x8, 1,
    [row0 0 0 [16]]
    [row1 8 1 [17]]
    [row2 16 2 [18]]);
tile!(tile_2x8, 1,
    [row0 0 0 [16]]
    [row1 8 1 [17]]);
tile!(tile_1x8, 1,
    [row0 0 0 [16]]);
