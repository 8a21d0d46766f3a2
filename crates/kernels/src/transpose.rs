//! Transposition of matrices, as between images stored channel by channel and pixel by pixel.

use bytemuck::Pod;

use crate::threads::ThreadPool;

/// Rows and columns of the blocks that are transposed at once: a line of the cache of bytes on either side.
const BLOCK: usize = 64;

/// The most rows for which all are read side by side.
const FEW: usize = 4;

/// Transposes matrices that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transpose {
    /// Rows of each matrix before, columns after.
    pub rows: usize,
    /// Columns of each matrix before, rows after.
    pub columns: usize,
}

impl Transpose {
    /// `input` and `output` hold as many whole matrices.
    ///
    /// # Panics
    /// When they do not.
    pub fn run<T: Pod + Send + Sync>(&self, pool: &ThreadPool, input: &[T], output: &mut [T]) {
        let Transpose { rows, columns } = *self;
        assert_eq!(input.len(), output.len(), "as many elements");
        if input.is_empty() {
            return;
        }
        assert!(input.len().is_multiple_of(rows * columns), "whole matrices");
        for (input, output) in input.chunks_exact(rows * columns).zip(output.chunks_exact_mut(rows * columns)) {
            // Threads share the columns.
            let chunk = columns.div_ceil(pool.threads());
            pool.for_each_chunk(output, chunk * rows, |index, _, output| {
                self.transpose(input, index * chunk, output);
            });
        }
    }

    /// Writes columns of the input from `first` on.
    fn transpose<T: Pod>(&self, input: &[T], first: usize, output: &mut [T]) {
        let Transpose { rows, columns } = *self;
        match rows {
            2 => self.interleave::<T, 2>(input, first, output),
            3 => self.interleave::<T, 3>(input, first, output),
            FEW => self.interleave::<T, FEW>(input, first, output),
            _ => {
                for (block, output) in output.chunks_mut(BLOCK * rows).enumerate() {
                    let first = first + block * BLOCK;
                    let count = output.len() / rows;
                    for (row, line) in input.chunks_exact(columns).enumerate() {
                        for (value, to) in line[first..][..count].iter().zip(output[row..].iter_mut().step_by(rows)) {
                            *to = *value;
                        }
                    }
                }
            }
        }
    }

    /// [`transpose`](Self::transpose) for `R` rows.
    fn interleave<T: Pod, const R: usize>(&self, input: &[T], first: usize, output: &mut [T]) {
        let count = output.len() / R;
        let lines: [&[T]; R] = std::array::from_fn(|row| &input[row * self.columns + first..][..count]);
        for (column, to) in output.as_chunks_mut::<R>().0.iter_mut().enumerate() {
            for (to, line) in to.iter_mut().zip(lines) {
                *to = line[column];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_become_rows() {
        for (rows, columns) in [(1, 7), (7, 1), (2, 65), (3, 129), (4, 64), (5, 130), (70, 3), (64, 64), (67, 71)] {
            let len = 2 * rows * columns;
            let input: Vec<u16> = (0..len as u16).collect();
            let element = |i: usize| {
                let (matrix, i) = (i / (rows * columns), i % (rows * columns));
                (matrix * rows * columns + i % rows * columns + i / rows) as u16
            };
            for threads in 1..=3 {
                let mut output = vec![0; len];
                Transpose { rows, columns }.run(&ThreadPool::new(threads), &input, &mut output);
                assert!(output.iter().copied().eq((0..len).map(element)), "{rows} × {columns}");
            }
        }
    }

    #[test]
    fn nothing_is_transposed_to_nothing() {
        Transpose { rows: 0, columns: 5 }.run::<u8>(&ThreadPool::new(1), &[], &mut []);
    }
}
