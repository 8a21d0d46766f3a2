//! How the work of a convolution is cut into tasks: bands of rows, and chunks of columns.

use std::ops::Range;

use super::{Kernel, Shape};

/// Most bytes of a band, as the kernel reads it and with its output. A band and one panel of weights then share the cache
/// next to the core.
const BAND_BYTES: usize = 32 << 10;

/// The cut of a matrix product into tasks of nearly equal size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Split {
    rows: usize,
    columns: usize,
    /// Rows of a band; the last one may have fewer.
    pub(super) band: usize,
    /// Columns of a chunk; a group's last one may have fewer.
    chunk: usize,
    bands: usize,
    /// Chunks of each group.
    chunks: usize,
    groups: usize,
}

impl Split {
    /// For `rows` output pixels.
    pub(super) fn new(kernel: &Kernel, rows: usize, shape: Shape, threads: usize) -> Split {
        let tiles = rows.div_ceil(kernel.rows).max(1);
        let panels = shape.columns.div_ceil(kernel.columns).max(1);
        let row_bytes = shape.depth.next_multiple_of(kernel.depth_multiple) * kernel.input.size() + shape.columns;
        let most = (BAND_BYTES / (row_bytes * kernel.rows)).max(1);
        // With few rows, the threads share the columns: what counts is the work of the one that has most.
        let by_rows = tiles.div_ceil(threads) * panels * shape.groups;
        let by_columns = tiles * (panels * shape.groups).div_ceil(threads);
        let (bands, chunk) = if by_rows <= by_columns {
            (tiles.div_ceil(most).next_multiple_of(threads), panels)
        } else {
            (tiles.div_ceil(most), if shape.groups == 1 { panels.div_ceil(threads) } else { panels })
        };
        let (band, chunk) = (tiles.div_ceil(bands) * kernel.rows, chunk * kernel.columns);
        Split {
            rows,
            columns: shape.columns,
            band,
            chunk,
            bands: rows.div_ceil(band),
            chunks: shape.columns.div_ceil(chunk),
            groups: shape.groups,
        }
    }

    pub(super) fn tasks(&self) -> usize {
        self.bands * self.chunks * self.groups
    }

    /// A task's rows, its group, and its columns of that group.
    pub(super) fn task(&self, task: usize) -> (Range<usize>, usize, Range<usize>) {
        let (band, part) = (task / (self.chunks * self.groups), task % (self.chunks * self.groups));
        let (group, chunk) = (part / self.chunks, part % self.chunks);
        let range = |i: usize, step: usize, end: usize| i * step..end.min((i + 1) * step);
        (range(band, self.band, self.rows), group, range(chunk, self.chunk, self.columns))
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
                        assert!(!rows.is_empty() && rows.len() <= split.band && !columns_of_task.is_empty());
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
