//! The product of two matrices that are both known only when it runs: the second is packed first, by all threads.

use std::ops::Range;
use std::ptr;

use super::{BLOCK_BYTES, Kernel, TABLE, TASKS, Tile, tiles};
use crate::memory::{ALIGNMENT, Aligned};
use crate::table::{Choice, Row};
use crate::threads::{Disjoint, ThreadPool};

/// Rows of any kernel's tile at most.
const MOST_ROWS: usize = 32;

/// A product of matrices of floats, with the sums of [`Conv2d`](super::Conv2d): each begins as 0 and takes the products by
/// fused multiply-adds in the order of the first matrix's columns.
#[derive(Debug)]
pub struct MatMul {
    row: &'static Row<Kernel>,
    rows: usize,
    depth: usize,
    columns: usize,
    /// What the sums of a panel begin as.
    zeros: Aligned<f32>,
}

impl MatMul {
    /// Of `[rows][depth]` by `[depth][columns]`, by the best kernel that `choice` allows.
    pub fn new(choice: Choice, rows: usize, depth: usize, columns: usize) -> MatMul {
        let row = TABLE.pick(choice);
        MatMul { row, rows, depth, columns, zeros: Aligned::zeroed(row.kernel.columns) }
    }

    /// The kernel that was picked.
    pub fn kernel_name(&self) -> &'static str {
        self.row.name
    }

    /// Bytes of scratch memory that [`run`](Self::run) needs, wherever they begin.
    pub fn scratch_bytes(&self) -> usize {
        self.packed_len() * size_of::<f32>() + ALIGNMENT
    }

    /// Elements of the second matrix with the columns that fill the last vector.
    fn packed_len(&self) -> usize {
        self.columns.next_multiple_of(self.row.kernel.vector) * self.depth
    }

    /// Multiplies `first` by `second`. What `scratch` holds is of no matter.
    ///
    /// # Panics
    /// When a length does not match, or `scratch` is too small.
    pub fn run(&self, pool: &ThreadPool, first: &[f32], second: &[f32], output: &mut [f32], scratch: &mut [u8]) {
        assert_eq!(first.len(), self.rows * self.depth, "elements of the first matrix");
        assert_eq!(second.len(), self.depth * self.columns, "elements of the second matrix");
        assert_eq!(output.len(), self.rows * self.columns, "elements of the output");
        assert!(scratch.len() >= self.scratch_bytes(), "bytes of scratch");
        if output.is_empty() || self.depth == 0 {
            return output.fill(0.0);
        }
        let start = scratch.as_ptr().align_offset(ALIGNMENT);
        let packed = bytemuck::cast_slice_mut(&mut scratch[start..][..self.packed_len() * size_of::<f32>()]);
        self.pack(pool, second, packed);

        let Kernel { rows, columns, .. } = self.row.kernel;
        let panels = self.columns.div_ceil(columns);
        let bands = self.rows.div_ceil(rows).min(pool.threads() * TASKS);
        let cuts = if bands >= pool.threads() { 1 } else { panels.min(pool.threads() * TASKS) };
        let output = Disjoint::new(output);
        pool.run(bands * cuts, &|task, _| {
            let (band, cut) = (task / cuts, task % cuts);
            let rows = band * self.rows / bands..(band + 1) * self.rows / bands;
            self.compute(first, packed, rows, cut * panels / cuts..(cut + 1) * panels / cuts, &output);
        });
    }

    /// Lays the second matrix out as `[panel][depth][columns]`.
    fn pack(&self, pool: &ThreadPool, second: &[f32], packed: &mut [f32]) {
        let columns = self.row.kernel.columns;
        pool.for_each_chunk(packed, columns * self.depth, |panel, _, packed| {
            let (first, lanes) = (panel * columns, packed.len() / self.depth);
            let width = lanes.min(self.columns - first);
            for (to, from) in packed.chunks_exact_mut(lanes).zip(second.chunks_exact(self.columns)) {
                to[..width].copy_from_slice(&from[first..first + width]);
                to[width..].fill(0.0);
            }
        });
    }

    /// Computes some rows of some panels; nothing else that runs at the same time may have elements of them.
    fn compute(&self, first: &[f32], packed: &[f32], rows: Range<usize>, panels: Range<usize>, output: &Disjoint<f32>) {
        let Kernel { rows: most, columns: widest, run, .. } = self.row.kernel;
        for (panel, weights) in packed.chunks(widest * self.depth).enumerate().take(panels.end).skip(panels.start) {
            let column = panel * widest;
            let lanes = weights.len() / self.depth;
            let step = (BLOCK_BYTES / size_of::<f32>() / lanes).max(1);
            for start in (0..self.depth).step_by(step) {
                let len = step.min(self.depth - start);
                let weights = weights[start * lanes..][..len * lanes].as_ptr();
                for (top, height) in tiles(rows.len(), most).map(|(top, height)| (rows.start + top, height)) {
                    let mut pieces = [ptr::null(); MOST_ROWS];
                    for (row, piece) in pieces[..height].iter_mut().enumerate() {
                        *piece = first[(top + row) * self.depth..][..self.depth].as_ptr();
                    }
                    let tile = Tile {
                        pieces: pieces.as_ptr(),
                        count: 1,
                        offset: start,
                        len,
                        weights,
                        ahead: weights.wrapping_add(len * lanes),
                        ahead_step: 0,
                        start: if start == 0 { self.zeros.as_ptr() } else { ptr::null() },
                        output: output.start().wrapping_add(top * self.columns + column),
                        residual: ptr::null(),
                        stride: self.columns,
                        rows: height,
                        columns: widest.min(self.columns - column),
                        bounds: [f32::NEG_INFINITY, f32::INFINITY],
                    };
                    // SAFETY: the table gives only rows that this CPU can run. The pieces are rows of the first matrix,
                    // of which `len` elements from `start` on are read, the weights those of this panel, and these columns
                    // of these rows are the caller's alone.
                    unsafe { run(&tile) };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, bits, each_choice, misaligned};

    #[test]
    fn every_row_multiplies_like_the_definition() {
        assert!(TABLE.rows.iter().all(|row| row.kernel.rows <= MOST_ROWS));
        for (index, (rows, depth, columns)) in
            [(1, 1, 1), (3, 0, 4), (0, 3, 4), (4, 5, 0), (13, 7, 33), (197, 64, 197), (5, 700, 100), (2, 3000, 65)]
                .into_iter()
                .enumerate()
        {
            let mut random = Random::new(index as u64);
            let (first, second) = (random.floats(rows * depth), random.floats(depth * columns));
            let sum = |row: usize, column: usize| {
                (0..depth).fold(0.0f32, |sum, k| first[row * depth + k].mul_add(second[k * columns + column], sum))
            };
            let expected: Vec<_> = (0..rows * columns).map(|cell| sum(cell / columns, cell % columns)).collect();
            let (first, second) = (misaligned(&first), misaligned(&second));
            for (choice, threads) in each_choice(&TABLE).zip([1, 2, 3].into_iter().cycle()) {
                let product = MatMul::new(choice, rows, depth, columns);
                let mut output = misaligned(&vec![f32::NAN; expected.len()]);
                let mut scratch = misaligned(&vec![0xa5; product.scratch_bytes()]);
                product.run(&ThreadPool::new(threads), &first, &second, &mut output, &mut scratch);
                assert_eq!(bits(&output), bits(&expected), "{} {rows}x{depth}x{columns}", product.kernel_name());
            }
        }
    }
}
