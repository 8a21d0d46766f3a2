//! Transposition: of channels first to channels last, mostly, and back.

use bytemuck::Pod;

use crate::threads::ThreadPool;

/// Rows and columns of a block, which is read and written while its cache lines are there.
const BLOCK: usize = 16;

/// Transposes matrices that lie one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transpose {
    rows: usize,
    columns: usize,
}

impl Transpose {
    /// The transposition that permuting the axes of `shape` comes to, if it is one: axis i of the result is axis
    /// `permutation[i]` of what there was. Neighbours that stay neighbours count as one axis, axes of size 1 as none.
    ///
    /// # Panics
    /// When `permutation` is none of the shape's axes.
    pub fn of_axes(shape: &[usize], permutation: &[usize]) -> Option<Transpose> {
        assert_eq!(shape.len(), permutation.len(), "an axis for each");
        let mut axes: Vec<usize> = permutation.iter().copied().filter(|&axis| shape[axis] != 1).collect();
        let wide: Vec<usize> = (0..shape.len()).filter(|&axis| shape[axis] != 1).collect();
        let same = axes.iter().zip(&wide).take_while(|(a, b)| a == b).count();
        let moved = axes.split_off(same);
        // What is left begins with the last axes and goes on with those before them, both in order.
        let first = moved.iter().position(|&axis| axis == *wide.get(same).unwrap_or(&axis))?;
        let (columns, rows) = moved.split_at(first);
        let in_order = rows.iter().chain(columns).eq(&wide[same..]);
        let size = |axes: &[usize]| axes.iter().map(|&axis| shape[axis]).product();
        (in_order && !columns.is_empty()).then(|| Transpose { rows: size(rows), columns: size(columns) })
    }

    /// The kernel that runs.
    pub fn kernel_name(&self) -> &'static str {
        "transpose"
    }

    /// Transposes matrices `[rows][columns]` to `[columns][rows]`.
    ///
    /// # Panics
    /// When the lengths differ or are not those of whole matrices.
    pub fn run<T: Pod + Send + Sync>(&self, pool: &ThreadPool, input: &[T], output: &mut [T]) {
        let Transpose { rows, columns } = *self;
        assert_eq!(input.len(), output.len(), "the lengths are the same");
        if input.is_empty() {
            return;
        }
        assert!(input.len().is_multiple_of(rows * columns), "whole matrices");
        for (input, output) in input.chunks_exact(rows * columns).zip(output.chunks_exact_mut(rows * columns)) {
            let part = columns.div_ceil(pool.threads()).next_multiple_of(BLOCK);
            pool.for_each_chunk(output, part * rows, |index, _, output| {
                let start = index * part;
                match rows {
                    2 => interleave::<T, 2>(input, start, output),
                    3 => interleave::<T, 3>(input, start, output),
                    4 => interleave::<T, 4>(input, start, output),
                    _ => blocks(rows, input, start, output),
                }
            });
        }
    }
}

/// The columns from `start` on of a matrix of so few rows that the compiler makes instructions of it that interleave.
fn interleave<T: Pod, const ROWS: usize>(input: &[T], start: usize, output: &mut [T]) {
    let (output, _) = output.as_chunks_mut::<ROWS>();
    let columns = input.len() / ROWS;
    let rows: [&[T]; ROWS] = std::array::from_fn(|row| &input[row * columns + start..][..output.len()]);
    for (column, output) in output.iter_mut().enumerate() {
        for (value, row) in output.iter_mut().zip(rows) {
            *value = row[column];
        }
    }
}

/// The columns from `start` on, block by block.
fn blocks<T: Pod>(rows: usize, input: &[T], start: usize, output: &mut [T]) {
    let columns = input.len() / rows;
    for (block, output) in output.chunks_mut(BLOCK * rows).enumerate() {
        let start = start + block * BLOCK;
        let width = output.len() / rows;
        for first in (0..rows).step_by(BLOCK) {
            let height = BLOCK.min(rows - first);
            for row in first..first + height {
                let values = &input[row * columns + start..][..width];
                for (output, &value) in output[row..].iter_mut().step_by(rows).zip(values) {
                    *output = value;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permutations_that_are_transpositions() {
        let transpose = |rows, columns| Some(Transpose { rows, columns });
        assert_eq!(Transpose::of_axes(&[1, 3, 224, 200], &[0, 2, 3, 1]), transpose(3, 44800));
        assert_eq!(Transpose::of_axes(&[2, 5, 6, 3], &[0, 3, 1, 2]), transpose(30, 3));
        assert_eq!(Transpose::of_axes(&[4, 7], &[1, 0]), transpose(4, 7));
        assert_eq!(Transpose::of_axes(&[4, 1, 7], &[2, 1, 0]), transpose(4, 7));
        for (shape, permutation) in [
            (&[2, 3, 4][..], &[2, 1, 0][..]),
            (&[2, 3, 4], &[1, 0, 2]),
            (&[2, 3], &[0, 1]),
            (&[1, 3], &[1, 0]),
            (&[], &[]),
        ] {
            assert_eq!(Transpose::of_axes(shape, permutation), None, "{shape:?} {permutation:?}");
        }
    }

    #[test]
    fn every_element_goes_where_it_belongs() {
        for (count, rows, columns) in
            [(1, 3, 100), (2, 2, 5), (3, 4, 33), (2, 17, 35), (1, 50, 3), (1, 1, 9), (1, 6, 1)]
        {
            let input: Vec<u32> = (0..(count * rows * columns) as u32).collect();
            let len = rows * columns;
            let expected: Vec<u32> =
                (0..input.len()).map(|i| input[i / len * len + i % rows * columns + i % len / rows]).collect();
            for threads in [1, 3] {
                let mut output = vec![0; input.len()];
                Transpose { rows, columns }.run(&ThreadPool::new(threads), &input, &mut output);
                assert_eq!(output, expected, "{count} times {rows} x {columns}");
            }
        }
    }
}
