//! How the work of a convolution is cut into tasks: bands of rows, and chunks of columns.

use std::ops::Range;

use super::{Kernel, Shape};

/// Most bytes of a band, as the kernel reads it and with its output. A band and one panel of weights then share the
/// cache next to the core.
const BAND_BYTES: usize = 32 << 10;

/// Rows of a thread for which reading all weights costs time that counts beside multiplying them.
const FEW_ROWS: usize = 64;

/// The cut of a matrix product into tasks of nearly equal size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Split {
    rows: usize,
    columns: usize,
    /// Rows of a band; the last one of a share may have fewer.
    pub(super) band: usize,
    /// Columns of a chunk; a group's last one may have fewer.
    chunk: usize,
    /// Parts of the rows that differ by one row at most, so that a thread has the same part of the image in every
    /// layer.
    shares: usize,
    /// Bands of each share.
    bands: usize,
    /// Chunks of each group.
    chunks: usize,
    groups: usize,
}

impl Split {
    /// For `rows` output pixels.
    pub(super) fn new(kernel: &Kernel, rows: usize, shape: Shape, threads: usize) -> Split {
        let panels = shape.columns.div_ceil(kernel.columns).max(1);
        let row_bytes = shape.depth.next_multiple_of(kernel.depth_multiple) * kernel.input.size() + shape.columns;
        let most = (BAND_BYTES / (row_bytes * kernel.rows)).max(1);
        // Threads that share rows read mostly what they wrote themselves, and each of them all weights. With few rows
        // these are most of what is read, and tiles of few rows make little of them; then the threads share columns.
        let few = rows < threads * FEW_ROWS && rows < shape.columns || rows < threads * kernel.rows;
        let shares = if few && panels * shape.groups >= threads { 1 } else { threads };
        let chunk = if shares == 1 && shape.groups == 1 { panels.div_ceil(threads) } else { panels };
        let tiles = rows.div_ceil(shares).div_ceil(kernel.rows).max(1);
        let (band, chunk) = (tiles.div_ceil(tiles.div_ceil(most)) * kernel.rows, chunk * kernel.columns);
        Split {
            rows,
            columns: shape.columns,
            band,
            chunk,
            shares,
            bands: rows.div_ceil(shares).div_ceil(band),
            chunks: shape.columns.div_ceil(chunk),
            groups: shape.groups,
        }
    }

    pub(super) fn tasks(&self) -> usize {
        self.shares * self.bands * self.chunks * self.groups
    }

    /// A task's rows, of which there may be none, its group, and its columns of that group.
    pub(super) fn task(&self, task: usize) -> (Range<usize>, usize, Range<usize>) {
        let (band, part) = (task / (self.chunks * self.groups), task % (self.chunks * self.groups));
        let (share, band) = (band / self.bands, band % self.bands);
        let (group, chunk) = (part / self.chunks, part % self.chunks);
        let range = |start: usize, step: usize, end: usize| start.min(end)..end.min(start + step);
        let share = share * self.rows / self.shares..(share + 1) * self.rows / self.shares;
        let rows = range(share.start + band * self.band, self.band, share.end);
        (rows, group, range(chunk * self.chunk, self.chunk, self.columns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qgemm::TABLE;

    #[test]
    fn tasks_cover_every_cell_once() {
        for row in TABLE.rows {
            for (rows, columns, depth, groups) in [
                (1, 1, 1, 1),
                (49, 160, 960, 1),
                (784, 24, 144, 1),
                (1, 1001, 1280, 1),
                (7, 5, 9, 3),
                (100, 1, 20000, 2),
                (0, 4, 4, 1),
            ] {
                for threads in 1..=5 {
                    let split = Split::new(&row.kernel, rows, Shape { groups, columns, depth }, threads);
                    let mut seen = vec![0; rows * groups * columns];
                    for task in 0..split.tasks() {
                        let (rows, group, columns_of_task) = split.task(task);
                        assert!(rows.len() <= split.band && !columns_of_task.is_empty());
                        for row in rows {
                            columns_of_task.clone().for_each(|n| seen[(row * groups + group) * columns + n] += 1);
                        }
                    }
                    assert!(seen.iter().all(|&count| count == 1), "{split:?}");
                }
            }
        }
    }

    #[test]
    fn few_rows_are_shared_by_columns() {
        let kernel = &TABLE.rows.first().expect("a table has rows").kernel;
        let split = Split::new(kernel, 1, Shape { groups: 1, columns: 1000, depth: 1280 }, 4);
        assert_eq!(split.tasks(), 4);
    }
}
