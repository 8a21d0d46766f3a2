//! Quantized convolution and matrix product: 8-bit activations times 8-bit weights, summed exactly in 32 bits,
//! requantized, and added to a residual, in one pass. A fully connected layer is a convolution over
//! [`Geometry::matrix`].
//!
//! A convolution is a matrix product: the rows are windows of the input, the columns are output channels, the depth is
//! what a window holds. The work is cut twice. Tasks, which threads take, are a band of rows times a chunk of columns.
//! In a task, the band's rows are laid out once (a pointwise convolution reads them from the input as they are); then
//! for one *panel* of columns after the other, a kernel goes over the band tile by tile, while the panel stays in the
//! nearest cache.
//!
//! Zero points cost nothing at run time: `Σ (a − za)(w − zw) = Σ a·(w − zw) − za·Σ (w − zw)`, and the last term is
//! part of the packed bias. Taps outside the image are `za`, which makes their terms 0.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512_vnni;
#[cfg(target_arch = "x86_64")]
mod avx_vnni;
mod epilogue;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "aarch64")]
mod neon_dot;
#[cfg(target_arch = "aarch64")]
mod neon_finish;
mod pack;
mod row_sums;
mod scalar;
mod split;
#[cfg(test)]
pub(crate) mod tests;

use std::ops::Range;

use crate::Activation;
use crate::cpu::Isa;
use crate::geometry::Geometry;
use crate::im2col;
use crate::memory::ALIGNMENT;
use crate::quantized::{Addition, Requantize, Weights};
#[cfg(target_arch = "x86_64")]
use crate::simd::rows_apart;
use crate::table::{Choice, Row, Table};
use crate::threads::{Disjoint, ThreadPool};
use epilogue::Epilogue;
use pack::{Packed, Shape};
use row_sums::row_sums;
use split::Split;

/// The kernels, best first.
pub static TABLE: Table<Kernel> = Table {
    family: "qgemm",
    rows: &[
        #[cfg(target_arch = "x86_64")]
        Row { name: "qgemm_u8s8s32_12x32_avx512_vnni", isa: Isa::Avx512Vnni, kernel: avx512_vnni::KERNEL },
        #[cfg(target_arch = "x86_64")]
        Row { name: "qgemm_u8s8s32_6x16_avx_vnni", isa: Isa::AvxVnni, kernel: avx_vnni::KERNEL },
        #[cfg(target_arch = "x86_64")]
        Row { name: "qgemm_u8s8s32_6x16_avx2", isa: Isa::Avx2, kernel: avx2::KERNEL },
        #[cfg(target_arch = "aarch64")]
        Row { name: "qgemm_s8s8s32_5x16_neon_dot", isa: Isa::NeonDot, kernel: neon_dot::KERNEL },
        #[cfg(target_arch = "aarch64")]
        Row { name: "qgemm_s8s8s32_4x16_neon", isa: Isa::Neon, kernel: neon::KERNEL },
        #[cfg(target_arch = "x86_64")]
        Row { name: "qgemm_u8s8s32_1x1_scalar", isa: Isa::Scalar, kernel: scalar::KERNEL },
        #[cfg(not(target_arch = "x86_64"))]
        Row { name: "qgemm_s8s8s32_1x1_scalar", isa: Isa::Scalar, kernel: scalar::KERNEL },
    ],
};

/// What a row of the table is: the form in which it wants its factors, and the function that multiplies them.
#[derive(Debug)]
pub struct Kernel {
    /// Rows of a tile. Any number of rows works; a multiple works best.
    rows: usize,
    /// Columns of a panel.
    columns: usize,
    /// The last panel may be narrower: any multiple of this.
    granule: usize,
    /// The depth is padded to a multiple of this.
    depth_multiple: usize,
    /// So many weights of one column lie side by side before the next column comes. A multiple of `depth_multiple`, or
    /// the other way round; where the depth is no multiple of it, the last group is narrower.
    depth_group: usize,
    /// What weights are stored as.
    weights: Element,
    /// What the input is stored as when the kernel reads it.
    input: Element,
    /// Whether products are first added in 16 bits, as many as fit: what [`Packed::groups`] says. Weights then lie in
    /// pairs.
    word_sums: bool,
    /// Multiplies all rows of a block with its panel.
    ///
    /// # Safety
    /// The CPU has the row's instruction set, and the block is what its fields say.
    multiply: unsafe fn(&Block),
}

/// How a factor is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Element {
    /// `i8` for weights, [`Activation`] for the input.
    Byte,
    /// `i16`
    Word,
}

impl Element {
    const fn size(self) -> usize {
        match self {
            Element::Byte => 1,
            Element::Word => 2,
        }
    }
}

/// One call of a kernel: some rows of input times one panel of weights.
#[allow(dead_code, reason = "no architecture has kernels that need all of it")]
struct Block<'a> {
    /// `rows` rows of `depth` elements.
    input: *const u8,
    /// Bytes from one row to the next.
    input_stride: usize,
    rows: usize,
    /// A multiple of the kernel's `depth_multiple`.
    depth: usize,
    /// Columns of the panel: the kernel's, or a multiple of its granule below that.
    columns: usize,
    /// The packed panel, aligned to its columns' size times `depth_multiple`, at most to 64 bytes.
    weights: *const u8,
    /// For each column.
    bias: *const i32,
    /// For each column.
    multipliers: *const f32,
    /// What to add to the sums: `shifts[column] · row_sums[row]`.
    shifts: Option<(*const i32, *const i32)>,
    /// [`Packed::groups`] of the panel; null where the kernel does not ask for them.
    groups: *const u8,
    epilogue: &'a Epilogue,
    /// `rows` rows of `columns` activations.
    output: *mut Activation,
    /// As the output; dangles where the epilogue does not add.
    residual: *const Activation,
    /// Elements from one row of output and residual to the next.
    output_stride: usize,
}

impl Block<'_> {
    #[inline(always)]
    fn input_row(&self, row: usize) -> *const u8 {
        self.input.wrapping_add(row * self.input_stride)
    }

    /// `R` rows of the input from `row` on.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn input_rows<T, const R: usize>(&self, row: usize) -> [*const T; R] {
        rows_apart(self.input_row(row), self.input_stride)
    }

    #[inline(always)]
    fn output_row(&self, row: usize) -> *mut Activation {
        self.output.wrapping_add(row * self.output_stride)
    }

    #[inline(always)]
    fn residual_row(&self, row: usize) -> *const Activation {
        self.residual.wrapping_add(row * self.output_stride)
    }
}

/// A quantized convolution with packed weights.
pub struct QConv2d {
    row: &'static Row<Kernel>,
    geometry: Geometry,
    shape: Shape,
    packed: Packed,
    epilogue: Epilogue,
    input_zero_point: Activation,
    split: Split,
    threads: usize,
}

impl QConv2d {
    /// Packs the weights, `[out_channels][kernel_h][kernel_w][in_channels / groups]`, for the kernel that `choice`
    /// allows here, to be run by pools of up to `threads` threads.
    ///
    /// # Panics
    /// When lengths do not fit the geometry, a multiplier is not finite, a weight zero point is not an `i8`, or another
    /// zero point or bound is not an [`Activation`].
    pub fn new(
        choice: Choice,
        geometry: Geometry,
        weights: &Weights,
        input_zero_point: i32,
        requantize: &Requantize,
        residual: Option<Addition>,
        threads: usize,
    ) -> QConv2d {
        let row = TABLE.pick(choice);
        let channels = geometry.output[2];
        let depth = check(&geometry, weights, requantize);
        let shape = Shape { groups: geometry.groups, columns: channels / geometry.groups, depth };
        let threads = threads.max(1);
        let packed = pack::pack(&row.kernel, shape, weights, input_zero_point, requantize);
        QConv2d {
            row,
            geometry,
            shape,
            epilogue: Epilogue::new(requantize.output(), residual, packed.reach),
            packed,
            input_zero_point: Activation::try_from(input_zero_point)
                .expect("a zero point is the value of an activation"),
            split: Split::new(&row.kernel, geometry.output[0] * geometry.output[1], shape, threads),
            threads,
        }
    }

    /// The kernel's name in the table.
    pub fn kernel_name(&self) -> &'static str {
        self.row.name
    }

    /// Bytes of the packed weights, and of all that is packed with them.
    pub fn weights_bytes(&self) -> usize {
        let columns = self.packed.bias.len();
        self.packed.weights.len()
            + self.packed.groups_bytes()
            + columns * if self.packed.shifts.is_some() { 12 } else { 8 }
    }

    /// Bytes of scratch memory that [`run`](Self::run) needs for all its threads, wherever they begin.
    pub fn scratch_bytes(&self) -> usize {
        self.threads * self.thread_scratch_bytes() + ALIGNMENT
    }

    /// Convolves one image. `residual` is there exactly if an addition was given at construction, and shaped as the
    /// output.
    ///
    /// # Panics
    /// When a slice is not as long as the geometry or [`scratch_bytes`](Self::scratch_bytes) says, or the pool has more
    /// threads than were planned for.
    pub fn run(
        &self,
        pool: &ThreadPool,
        input: &[Activation],
        residual: Option<&[Activation]>,
        output: &mut [Activation],
        scratch: &mut [u8],
    ) {
        assert_eq!(input.len(), self.geometry.input_len(), "input");
        assert_eq!(output.len(), self.geometry.output_len(), "output");
        assert_eq!(residual.is_some(), self.epilogue.adds(), "a residual goes with an addition");
        residual.iter().for_each(|residual| assert_eq!(residual.len(), output.len(), "residual"));
        assert!(pool.threads() <= self.threads, "planned for {} threads, not {}", self.threads, pool.threads());
        let each = self.thread_scratch_bytes();
        let start = scratch.as_ptr().align_offset(ALIGNMENT);
        let scratch = Disjoint::new(&mut scratch[start..][..self.threads * each]);
        let output = Disjoint::new(output);
        pool.run(self.split.tasks(), &|task, thread| {
            // SAFETY: at one time no two threads of a run have the same index.
            let scratch = unsafe { scratch.slice(thread * each..(thread + 1) * each) };
            let (rows, group, columns) = self.split.task(task);
            if rows.is_empty() {
                return;
            }
            let skipped = rows.start * self.geometry.output[2];
            let residual = residual.map(|residual| &residual[skipped..]);
            let output = output.start().wrapping_add(skipped);
            // SAFETY: the rows are inside the output, and no other task has these columns of them.
            unsafe { self.run_band(input, rows, group, columns, residual, output, scratch) };
        });
    }

    /// Whether [`run_rows`](Self::run_rows) can be given an input that has just its rows: each output pixel is a
    /// function of the input pixel at the same place, of which the kernel reads no more than there is.
    pub(crate) fn is_local(&self) -> bool {
        self.geometry.is_pointwise() && self.shape.depth.is_multiple_of(self.row.kernel.depth_multiple)
    }

    /// Whether it adds a residual.
    pub(crate) fn adds(&self) -> bool {
        self.epilogue.adds()
    }

    /// The shape of an image.
    pub(crate) fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Bytes of scratch memory of one thread, a multiple of [`ALIGNMENT`].
    pub(crate) fn thread_scratch_bytes(&self) -> usize {
        self.areas().iter().sum()
    }

    /// Computes output pixels `rows`, numbered row by row, on this thread. `residual` and `output` begin with the first
    /// of them. So does `input`, or it is the whole image.
    ///
    /// # Panics
    /// When a slice is too short, or `scratch` does not begin on a cache line.
    pub(crate) fn run_rows(
        &self,
        input: &[Activation],
        rows: Range<usize>,
        residual: Option<&[Activation]>,
        output: &mut [Activation],
        scratch: &mut [u8],
    ) {
        let channels = self.geometry.output[2];
        let local = input.len() != self.geometry.input_len();
        assert!(!local || self.is_local(), "an input of a part of the image");
        assert_eq!(output.len(), rows.len() * channels, "output");
        assert_eq!(residual.is_some(), self.epilogue.adds(), "a residual goes with an addition");
        residual.iter().for_each(|residual| assert!(residual.len() >= output.len(), "residual"));
        for start in rows.clone().step_by(self.split.band) {
            let band = start..rows.end.min(start + self.split.band);
            let skipped = (start - rows.start) * channels;
            let read = if local { start - rows.start..band.end - rows.start } else { band.clone() };
            let residual = residual.map(|residual| &residual[skipped..]);
            let output = output[skipped..].as_mut_ptr();
            for group in 0..self.shape.groups {
                let columns = 0..self.shape.columns;
                // SAFETY: the rows are inside the output, which this thread alone has.
                unsafe { self.run_band(input, read.clone(), group, columns, residual, output, &mut *scratch) };
            }
        }
    }

    /// Bytes of a thread's scratch areas, each a multiple of [`ALIGNMENT`]: the band as bytes, the band as words, the
    /// sums of its rows, and output and residual of a panel that has more columns than the matrix.
    fn areas(&self) -> [usize; 5] {
        let (kernel, band) = (&self.row.kernel, self.split.band);
        let cells = band * self.shape.depth.next_multiple_of(kernel.depth_multiple);
        let padded = !self.shape.columns.is_multiple_of(kernel.granule);
        let staged = if padded { band * kernel.columns } else { 0 };
        let copies = !self.geometry.is_pointwise() || !self.shape.depth.is_multiple_of(kernel.depth_multiple);
        [
            if copies { cells } else { 0 },
            if kernel.input == Element::Word { 2 * cells } else { 0 },
            if self.packed.shifts.is_some() { 4 * band } else { 0 },
            staged,
            if self.epilogue.adds() { staged } else { 0 },
        ]
        .map(|bytes| bytes.next_multiple_of(ALIGNMENT))
    }

    /// One band of rows times a chunk of a group's columns. `residual` and `output` begin with the first row.
    ///
    /// # Safety
    /// There are so many rows of output, and nobody else has these columns of them.
    #[expect(clippy::too_many_arguments, reason = "what to multiply, and where to")]
    unsafe fn run_band(
        &self,
        input: &[Activation],
        rows: Range<usize>,
        group: usize,
        columns: Range<usize>,
        residual: Option<&[Activation]>,
        output: *mut Activation,
        scratch: &mut [u8],
    ) {
        let mut areas = Areas::carve(scratch, self.areas());
        let band = self.lay_out(input, rows.clone(), group, &mut areas);
        let mut panel = columns.start;
        while panel < columns.end {
            let width = self.row.kernel.columns.min(columns.end - panel);
            // SAFETY: as this function's.
            unsafe { self.run_panel(&band, rows.len(), [group, panel, width], residual, output, &mut areas) };
            panel += width;
        }
    }

    /// The rows of a band as the kernel reads them: where they lie in the input, or copied into scratch.
    fn lay_out<'s>(
        &self,
        input: &'s [Activation],
        rows: Range<usize>,
        group: usize,
        areas: &mut Areas<'s>,
    ) -> Band<'s> {
        let (kernel, depth) = (&self.row.kernel, self.shape.depth);
        let padded = depth.next_multiple_of(kernel.depth_multiple);
        let from = rows.start * depth;
        // The last row is read up to its padded depth, whatever stands there: those weights are 0.
        let direct = self.geometry.is_pointwise() && rows.end * depth - depth + padded <= input.len();
        let (bytes, stride) = if direct {
            (&input[from..rows.end * depth - depth + padded], depth)
        } else {
            let bytes = &mut std::mem::take(&mut areas.bytes)[..rows.len() * padded];
            im2col::gather(&self.geometry, group, input, self.input_zero_point, rows.clone(), padded, bytes);
            (&*bytes, padded)
        };
        if self.packed.shifts.is_some() {
            row_sums(bytes, stride, depth, &mut areas.sums[..rows.len()]);
        }
        if kernel.input == Element::Byte {
            return Band { data: bytemuck::cast_slice(bytes), stride };
        }
        let words = &mut std::mem::take(&mut areas.words)[..rows.len() * padded];
        if stride == padded {
            widen(bytes, words);
        } else {
            words.chunks_mut(padded).zip(bytes.chunks(stride)).for_each(|(words, line)| widen(&line[..depth], words));
        }
        Band { data: bytemuck::cast_slice(words), stride: 2 * padded }
    }

    /// All rows of a band times one panel: `width` columns of the group from `column` on.
    ///
    /// # Safety
    /// As [`run_band`](Self::run_band).
    unsafe fn run_panel(
        &self,
        band: &Band,
        rows: usize,
        [group, column, width]: [usize; 3],
        residual: Option<&[Activation]>,
        output: *mut Activation,
        areas: &mut Areas,
    ) {
        let (kernel, channels) = (&self.row.kernel, self.geometry.output[2]);
        let depth = self.shape.depth.next_multiple_of(kernel.depth_multiple);
        let packed_column = group * self.shape.columns.next_multiple_of(kernel.granule) + column;
        let padded_width = width.next_multiple_of(kernel.granule);
        let parameters = packed_column..packed_column + padded_width;
        let weights = packed_column * depth * kernel.weights.size();
        let band_len = (rows - 1) * band.stride + depth * kernel.input.size();
        let first = group * self.shape.columns + column;
        let shifts = self.packed.shifts.as_ref().map(|shifts| &shifts[parameters.clone()]);
        // Most columns of most models need none.
        let shifts = shifts.filter(|shifts| shifts.iter().any(|&shift| shift != 0));
        let mut block = Block {
            input: band.data[..band_len].as_ptr(),
            input_stride: band.stride,
            rows,
            depth,
            columns: padded_width,
            weights: self.packed.weights[weights..][..padded_width * depth * kernel.weights.size()].as_ptr(),
            bias: self.packed.bias[parameters.clone()].as_ptr(),
            multipliers: self.packed.multipliers[parameters.clone()].as_ptr(),
            shifts: shifts.map(|shifts| (shifts.as_ptr(), areas.sums[..rows].as_ptr())),
            groups: self.packed.groups(group * self.shape.columns.div_ceil(kernel.columns) + column / kernel.columns),
            epilogue: &self.epilogue,
            output: output.wrapping_add(first),
            residual: residual.map_or(std::ptr::null(), |residual| residual[first..].as_ptr()),
            output_stride: channels,
        };
        if padded_width == width {
            // SAFETY: the constructor checked the instruction set. Input, weights and parameters were just sliced to
            // the block's size. The columns are inside the matrix, so output and residual have them in each of the
            // band's rows, and nobody else writes these columns of these rows.
            return unsafe { (kernel.multiply)(&block) };
        }
        let cell = |row: usize| first + row * channels;
        if let Some(residual) = residual {
            let staged = areas.residual.chunks_mut(padded_width);
            staged
                .take(rows)
                .enumerate()
                .for_each(|(row, to)| to[..width].copy_from_slice(&residual[cell(row)..][..width]));
            block.residual = areas.residual[..rows * padded_width].as_ptr();
        }
        block.output = areas.output[..rows * padded_width].as_mut_ptr();
        block.output_stride = padded_width;
        // SAFETY: as above, with output and residual in scratch, which has room for whole panels.
        unsafe { (kernel.multiply)(&block) };
        let to = output.wrapping_add(first);
        // SAFETY: the columns are inside the matrix, and nobody else has them in these rows.
        unsafe { im2col::copy_runs_unchecked(block.output, to, [padded_width, channels], width, rows) };
    }
}

/// The rows of a band as a kernel reads them, `stride` bytes apart.
struct Band<'a> {
    data: &'a [u8],
    stride: usize,
}

/// A thread's scratch memory.
struct Areas<'a> {
    bytes: &'a mut [Activation],
    words: &'a mut [i16],
    sums: &'a mut [i32],
    output: &'a mut [Activation],
    residual: &'a mut [Activation],
}

impl<'a> Areas<'a> {
    /// Cuts `scratch`, which begins on a cache line, into areas of so many bytes.
    fn carve(mut scratch: &'a mut [u8], lens: [usize; 5]) -> Areas<'a> {
        let [bytes, words, sums, output, residual] = lens.map(|len| {
            let (area, rest) = std::mem::take(&mut scratch).split_at_mut(len);
            scratch = rest;
            area
        });
        Areas {
            bytes: bytemuck::cast_slice_mut(bytes),
            words: bytemuck::cast_slice_mut(words),
            sums: bytemuck::cast_slice_mut(sums),
            output: bytemuck::cast_slice_mut(output),
            residual: bytemuck::cast_slice_mut(residual),
        }
    }
}

fn widen(bytes: &[Activation], words: &mut [i16]) {
    words.iter_mut().zip(bytes).for_each(|(word, &byte)| *word = byte.into());
}

/// Checks what was given against the geometry; the depth of the matrix product.
pub(crate) fn check(geometry: &Geometry, weights: &Weights, requantize: &Requantize) -> usize {
    let (groups, channels) = (geometry.groups, geometry.output[2]);
    let divides = |n: usize| groups != 0 && n.is_multiple_of(groups);
    assert!(divides(channels) && divides(geometry.input[2]), "channels come in {groups} groups: {geometry:?}");
    let depth = im2col::window_len(geometry);
    assert_ne!(depth, 0, "a window holds something: {geometry:?}");
    assert_eq!(weights.values.len(), channels * depth, "weights");
    let one_or_each =
        |len: usize, what: &str| assert!(len == 1 || len == channels, "{what}: {len} for {channels} channels");
    one_or_each(weights.zero_points.len(), "weight zero points");
    one_or_each(requantize.multipliers.len(), "multipliers");
    weights.bias.iter().for_each(|bias| assert_eq!(bias.len(), channels, "bias"));
    assert!(weights.zero_points.iter().all(|&point| i8::try_from(point).is_ok()), "weight zero points are bytes");
    assert!(requantize.multipliers.iter().all(|multiplier| multiplier.is_finite()), "multipliers are finite");
    depth
}
