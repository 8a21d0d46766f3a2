//! NEON: tiles of four pixels by sixteen channels. An element of the depth is one load of weights and, for each pixel, a
//! multiplication of them by a lane, in which the elements of the pixel lie as they were loaded, eight at a time.
//!
//! More pixels would need fewer loads, but then two registers for each of them, and four for the weights that a single
//! instruction loads, would be more than there are. As it is, nine of ten instructions multiply.
//!
//! A tile is one block of assembly, with whatever is done to its sums: the compiler would load more than there are registers,
//! and move sums from one to another. Such tiles follow each other below a panel, so that it is called once for several.

use std::arch::asm;

use super::{Element, Kernel, Run, Tile, element};

/// Pixels of a tile in registers.
const ROWS: usize = 4;
/// Channels of a register.
const LANES: usize = 4;

pub(super) const KERNEL: Kernel =
    Kernel { rows: 7 * ROWS, columns: 4 * LANES, vector: LANES, run, round: element::copy };

/// # Safety
/// As [`super::Run`].
#[target_feature(enable = "neon")]
unsafe fn run(tile: &Tile) {
    // SAFETY: the same condition.
    unsafe { on_whole_registers::<f32, LANES>(tile, multiply) }
}

/// Runs `multiply`, which loads and stores whole registers of columns, on a place that has room for them.
///
/// # Safety
/// As [`super::Run`]; `multiply` can do it where the columns are whole registers.
#[inline]
pub(super) unsafe fn on_whole_registers<E: Element, const LANES: usize>(tile: &Tile<E>, multiply: Run<E>) {
    const ROWS: usize = 32;
    const COLUMNS: usize = 16;
    let Tile { rows, columns, stride, .. } = *tile;
    // SAFETY: the same condition. Rows and columns of the tile fit the place, as no kernel here has more.
    unsafe {
        if columns.is_multiple_of(LANES) {
            return multiply(tile);
        }
        let mut output = [0.0; ROWS * COLUMNS];
        let mut residual = [0.0; ROWS * COLUMNS];
        for row in 0..rows {
            let copy = |from: *const f32, to: &mut [f32]| {
                if !from.is_null() {
                    from.add(row * stride).copy_to_nonoverlapping(to[row * COLUMNS..].as_mut_ptr(), columns);
                }
            };
            copy(if tile.start.is_null() { tile.output } else { std::ptr::null() }, &mut output);
            copy(tile.residual, &mut residual);
        }
        multiply(&Tile {
            output: output.as_mut_ptr(),
            residual: if tile.residual.is_null() { tile.residual } else { residual.as_ptr() },
            stride: COLUMNS,
            columns: columns.next_multiple_of(LANES),
            ..*tile
        });
        for (row, values) in output.chunks_exact(COLUMNS).take(rows).enumerate() {
            tile.output.add(row * stride).copy_from_nonoverlapping(values.as_ptr(), columns);
        }
    }
}

/// Runs whole tiles, and then one of fewer rows.
macro_rules! of_height {
    ($tile:ident, $tiles:ident, $rest:ident, $whole:ident, [$($rows:literal $function:ident)+]) => {{
        if $tiles > 0 {
            $whole($tile, 0, $tiles);
        }
        match $rest {
            $($rows => $function($tile, $tiles * ROWS, 1),)+
            _ => (),
        }
    }};
}
/// # Safety
/// As [`super::Run`]; the columns are whole registers.
#[target_feature(enable = "neon")]
unsafe fn multiply(tile: &Tile) {
    let (tiles, rest) = (tile.rows / ROWS, tile.rows % ROWS);
    // SAFETY: the same condition; the tiles are inside this one.
    unsafe {
        match tile.columns / LANES {
            4 => of_height!(tile, tiles, rest, tiles_4x16, [1 tiles_1x16 2 tiles_2x16 3 tiles_3x16]),
            3 => of_height!(tile, tiles, rest, tiles_4x12, [1 tiles_1x12 2 tiles_2x12 3 tiles_3x12]),
            2 => of_height!(tile, tiles, rest, tiles_4x8, [1 tiles_1x8 2 tiles_2x8 3 tiles_3x8]),
            _ => of_height!(tile, tiles, rest, tiles_4x4, [1 tiles_1x4 2 tiles_2x4 3 tiles_3x4]),
        }
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
        concat!($("fmla v", $sum, ".4s, v", $w, ".4s, v", $x, ".s[", $lane, "]\n"),+)
    };
}

/// Four elements of the depth, which lie in the register `$x` of each row, for so many registers of weights.
macro_rules! four {
    (4, $($row:tt)+) => {
        concat!(
            "ld1 {{v16.4s, v17.4s, v18.4s, v19.4s}}, [{weights}], #64\n",
            products!(0, [16 17 18 19], $($row)+),
            "ld1 {{v20.4s, v21.4s, v22.4s, v23.4s}}, [{weights}], #64\n",
            products!(1, [20 21 22 23], $($row)+),
            "ld1 {{v16.4s, v17.4s, v18.4s, v19.4s}}, [{weights}], #64\n",
            products!(2, [16 17 18 19], $($row)+),
            "ld1 {{v20.4s, v21.4s, v22.4s, v23.4s}}, [{weights}], #64\n",
            products!(3, [20 21 22 23], $($row)+),
        )
    };
    (3, $($row:tt)+) => {
        concat!(
            "ld1 {{v16.4s, v17.4s, v18.4s}}, [{weights}], #48\n",
            products!(0, [16 17 18], $($row)+),
            "ld1 {{v20.4s, v21.4s, v22.4s}}, [{weights}], #48\n",
            products!(1, [20 21 22], $($row)+),
            "ld1 {{v16.4s, v17.4s, v18.4s}}, [{weights}], #48\n",
            products!(2, [16 17 18], $($row)+),
            "ld1 {{v20.4s, v21.4s, v22.4s}}, [{weights}], #48\n",
            products!(3, [20 21 22], $($row)+),
        )
    };
    (2, $($row:tt)+) => {
        concat!(
            "ld1 {{v16.4s, v17.4s, v18.4s, v19.4s}}, [{weights}], #64\n",
            products!(0, [16 17], $($row)+),
            products!(1, [18 19], $($row)+),
            "ld1 {{v20.4s, v21.4s, v22.4s, v23.4s}}, [{weights}], #64\n",
            products!(2, [20 21], $($row)+),
            products!(3, [22 23], $($row)+),
        )
    };
    (1, $($row:tt)+) => {
        concat!(
            "ld1 {{v16.4s, v17.4s, v18.4s, v19.4s}}, [{weights}], #64\n",
            products!(0, [16], $($row)+),
            products!(1, [17], $($row)+),
            products!(2, [18], $($row)+),
            products!(3, [19], $($row)+),
        )
    };
}

/// A single element, likewise.
macro_rules! one {
    (4, $($row:tt)+) => {
        concat!(
            "ld1 {{v16.4s, v17.4s, v18.4s, v19.4s}}, [{weights}], #64\n",
            products!(0, [16 17 18 19], $($row)+),
        )
    };
    (3, $($row:tt)+) => {
        concat!("ld1 {{v16.4s, v17.4s, v18.4s}}, [{weights}], #48\n", products!(0, [16 17 18], $($row)+))
    };
    (2, $($row:tt)+) => {
        concat!("ld1 {{v16.4s, v17.4s}}, [{weights}], #32\n", products!(0, [16 17], $($row)+))
    };
    (1, $($row:tt)+) => {
        concat!("ldr q16, [{weights}], #16\n", products!(0, [16], $($row)+))
    };
}

/// Adds a row of the residual to its sums.
macro_rules! add_residual {
    ([$($sums:literal)+]) => {
        concat!(add_residual!(@load $($sums)+), "\n", add_residual!(@add [18 19 20 21] $($sums)+))
    };
    (@load $a:literal $b:literal $c:literal $d:literal) => {
        "ld1 {{v18.4s, v19.4s, v20.4s, v21.4s}}, [{residual}], {stride}"
    };
    (@load $a:literal $b:literal $c:literal) => { "ld1 {{v18.4s, v19.4s, v20.4s}}, [{residual}], {stride}" };
    (@load $a:literal $b:literal) => { "ld1 {{v18.4s, v19.4s}}, [{residual}], {stride}" };
    (@load $a:literal) => { "ld1 {{v18.4s}}, [{residual}], {stride}" };
    (@add [$from:literal $($more:literal)*] $sum:literal $($sums:literal)*) => {
        concat!(
            "fadd v", $sum, ".4s, v", $sum, ".4s, v", $from, ".4s\n",
            add_residual!(@add [$($more)*] $($sums)*)
        )
    };
    (@add [$($more:literal)*]) => { "" };
}

/// Clamps sums to the bounds in `v16` and `v17`. NaN stays.
macro_rules! clamp_row {
    ([$($sum:literal)+]) => {
        concat!(
            $("fmax v", $sum, ".4s, v", $sum, ".4s, v16.4s\n",)+
            $("fmin v", $sum, ".4s, v", $sum, ".4s, v17.4s\n",)+
        )
    };
}

/// Defines the function for tiles of `$R` rows and `$V` registers of columns. For
/// each row: its pointer, where that lies among the pieces' pointers, two registers for its elements, and those of its sums.
macro_rules! tiles {
    ($name:ident, $mca:literal, $R:literal, $V:tt,
        $([$row:ident $at:literal $x0:literal $x1:literal $list:literal $sums:tt])+) => {
        /// # Safety
        /// As [`super::Run`]; so many tiles of this size, at least one, lie below `row`.
        #[target_feature(enable = "neon")]
        unsafe fn $name(tile: &Tile, row: usize, tiles: usize) {
            let at = row * tile.stride;
            let residual = if tile.residual.is_null() { tile.residual } else { tile.residual.wrapping_add(at) };
            // SAFETY: rows and columns are inside the tile, pieces and elements inside the window, and weights and biases are
            // whole registers.
            unsafe {
                asm!(
                    "2:",
                    "mov {piece}, {pieces}",
                    "mov {weights}, {first_weights}",
                    "mov {pieces_left}, {count}",
                    "cbz {start}, 10f",
                    $(concat!("ld1 {{", $list, "}}, [{start}]"),)+
                    "3:",
                    "cbz {pieces_left}, 8f",
                    "4:",
                    $(concat!("ldr {", stringify!($row), "}, [{piece}, #", $at, "]"),)+
                    "add {piece}, {piece}, {piece_step}",
                    $(concat!("add {", stringify!($row), "}, {", stringify!($row), "}, {offset}"),)+
                    "subs {left}, {len}, #8",
                    "b.lo 6f",
                    concat!("// LLVM-MCA-BEGIN ", $mca),
                    "5:",
                    $(concat!("ldp q", $x0, ", q", $x1, ", [{", stringify!($row), "}], #32"),)+
                    four!($V, $([$x0 $sums])+),
                    four!($V, $([$x1 $sums])+),
                    "subs {left}, {left}, #8",
                    "b.hs 5b",
                    "// LLVM-MCA-END",
                    "6:",
                    "tbz {left:w}, #2, 7f",
                    $(concat!("ldr q", $x0, ", [{", stringify!($row), "}], #16"),)+
                    four!($V, $([$x0 $sums])+),
                    "7:",
                    "ands {left}, {left}, #3",
                    "b.ne 12f",
                    "subs {pieces_left}, {pieces_left}, #1",
                    "b.ne 4b",
                    "8:",
                    "cbz {residual}, 9f",
                    $(add_residual!($sums),)+
                    "9:",
                    "ld2r {{v16.4s, v17.4s}}, [{bounds}]",
                    $(clamp_row!($sums),)+
                    $(concat!("st1 {{", $list, "}}, [{output}], {stride}"),)+
                    concat!("add {pieces}, {pieces}, #8 * ", $R),
                    "subs {tiles}, {tiles}, #1",
                    "b.ne 2b",
                    "b 13f",
                    // Sums that go on from the output.
                    "10:",
                    "mov {left}, {output}",
                    $(concat!("ld1 {{", $list, "}}, [{left}], {stride}"),)+
                    "b 3b",
                    // Up to three last elements of a piece.
                    "12:",
                    $(concat!("ldr s", $x0, ", [{", stringify!($row), "}], #4"),)+
                    one!($V, $([$x0 $sums])+),
                    "sub {left}, {left}, #1",
                    "b 7b",
                    "13:",
                    $($row = out(reg) _,)+
                    piece = out(reg) _,
                    weights = out(reg) _,
                    pieces_left = out(reg) _,
                    left = out(reg) _,
                    pieces = inout(reg) tile.pieces.add(row) => _,
                    tiles = inout(reg) tiles => _,
                    output = inout(reg) tile.output.add(at) => _,
                    residual = inout(reg) residual => _,
                    first_weights = in(reg) tile.weights,
                    start = in(reg) tile.start,
                    count = in(reg) tile.count,
                    piece_step = in(reg) tile.rows * size_of::<*const f32>(),
                    offset = in(reg) tile.offset * size_of::<f32>(),
                    len = in(reg) tile.len,
                    stride = in(reg) tile.stride * size_of::<f32>(),
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

tiles!(tiles_4x16, "gemm_4x16_neon", 4, 4,
    [row0 0 24 25 "v0.4s, v1.4s, v2.4s, v3.4s" [0 1 2 3]]
    [row1 8 26 27 "v4.4s, v5.4s, v6.4s, v7.4s" [4 5 6 7]]
    [row2 16 28 29 "v8.4s, v9.4s, v10.4s, v11.4s" [8 9 10 11]]
    [row3 24 30 31 "v12.4s, v13.4s, v14.4s, v15.4s" [12 13 14 15]]);
tiles!(tiles_4x12, "gemm_4x12_neon", 4, 3,
    [row0 0 24 25 "v0.4s, v1.4s, v2.4s" [0 1 2]]
    [row1 8 26 27 "v3.4s, v4.4s, v5.4s" [3 4 5]]
    [row2 16 28 29 "v6.4s, v7.4s, v8.4s" [6 7 8]]
    [row3 24 30 31 "v9.4s, v10.4s, v11.4s" [9 10 11]]);
tiles!(tiles_4x8, "gemm_4x8_neon", 4, 2,
    [row0 0 24 25 "v0.4s, v1.4s" [0 1]]
    [row1 8 26 27 "v2.4s, v3.4s" [2 3]]
    [row2 16 28 29 "v4.4s, v5.4s" [4 5]]
    [row3 24 30 31 "v6.4s, v7.4s" [6 7]]);
tiles!(tiles_4x4, "gemm_4x4_neon", 4, 1,
    [row0 0 24 25 "v0.4s" [0]]
    [row1 8 26 27 "v1.4s" [1]]
    [row2 16 28 29 "v2.4s" [2]]
    [row3 24 30 31 "v3.4s" [3]]);
tiles!(tiles_3x16, "gemm_3x16_neon", 3, 4,
    [row0 0 24 25 "v0.4s, v1.4s, v2.4s, v3.4s" [0 1 2 3]]
    [row1 8 26 27 "v4.4s, v5.4s, v6.4s, v7.4s" [4 5 6 7]]
    [row2 16 28 29 "v8.4s, v9.4s, v10.4s, v11.4s" [8 9 10 11]]);
tiles!(tiles_3x12, "gemm_3x12_neon", 3, 3,
    [row0 0 24 25 "v0.4s, v1.4s, v2.4s" [0 1 2]]
    [row1 8 26 27 "v3.4s, v4.4s, v5.4s" [3 4 5]]
    [row2 16 28 29 "v6.4s, v7.4s, v8.4s" [6 7 8]]);
tiles!(tiles_3x8, "gemm_3x8_neon", 3, 2,
    [row0 0 24 25 "v0.4s, v1.4s" [0 1]]
    [row1 8 26 27 "v2.4s, v3.4s" [2 3]]
    [row2 16 28 29 "v4.4s, v5.4s" [4 5]]);
tiles!(tiles_3x4, "gemm_3x4_neon", 3, 1,
    [row0 0 24 25 "v0.4s" [0]]
    [row1 8 26 27 "v1.4s" [1]]
    [row2 16 28 29 "v2.4s" [2]]);
tiles!(tiles_2x16, "gemm_2x16_neon", 2, 4,
    [row0 0 24 25 "v0.4s, v1.4s, v2.4s, v3.4s" [0 1 2 3]]
    [row1 8 26 27 "v4.4s, v5.4s, v6.4s, v7.4s" [4 5 6 7]]);
tiles!(tiles_2x12, "gemm_2x12_neon", 2, 3,
    [row0 0 24 25 "v0.4s, v1.4s, v2.4s" [0 1 2]]
    [row1 8 26 27 "v3.4s, v4.4s, v5.4s" [3 4 5]]);
tiles!(tiles_2x8, "gemm_2x8_neon", 2, 2,
    [row0 0 24 25 "v0.4s, v1.4s" [0 1]]
    [row1 8 26 27 "v2.4s, v3.4s" [2 3]]);
tiles!(tiles_2x4, "gemm_2x4_neon", 2, 1,
    [row0 0 24 25 "v0.4s" [0]]
    [row1 8 26 27 "v1.4s" [1]]);
tiles!(tiles_1x16, "gemm_1x16_neon", 1, 4,
    [row0 0 24 25 "v0.4s, v1.4s, v2.4s, v3.4s" [0 1 2 3]]);
tiles!(tiles_1x12, "gemm_1x12_neon", 1, 3,
    [row0 0 24 25 "v0.4s, v1.4s, v2.4s" [0 1 2]]);
tiles!(tiles_1x8, "gemm_1x8_neon", 1, 2,
    [row0 0 24 25 "v0.4s, v1.4s" [0 1]]);
tiles!(tiles_1x4, "gemm_1x4_neon", 1, 1,
    [row0 0 24 25 "v0.4s" [0]]);
