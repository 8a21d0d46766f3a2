//! Quantized 3×3 convolution by Winograd's minimal filtering F(4×4, 3×3): a tile of 4×4 outputs takes 36 products for
//! each pair of channels instead of 144, of numbers of 16 bits instead of 8.
//!
//! The result is exact, and so the same bytes as [`qgemm`](crate::qgemm)'s. Usually Winograd's transforms have
//! fractions and lose bits. Here they are integers: each sum comes out 9 · 2ⁿ times as large, modulo 2³². Nine has an
//! inverse there, and the factor 2ⁿ only leaves the sum known modulo 2³²⁻ⁿ, which is enough where the weights bound it:
//! [`QWinogradConv2d::fits`].
//!
//! A task, which a thread takes, is a block of tiles times a chunk of columns (output channels). The block's 36
//! matrices of transformed inputs are made once; then for one *panel* of columns after the other, they are multiplied
//! by 36 matrices of transformed weights, and the sums are transformed back, requantized and written.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512_vnni;
#[cfg(target_arch = "x86_64")]
mod avx_vnni;
#[cfg(target_arch = "aarch64")]
mod neon;
mod pack;
mod scalar;
#[cfg(test)]
mod tests;
mod transform;
mod vector;

use std::ops::Range;

use crate::Activation;
use crate::cpu::Isa;
use crate::geometry::Geometry;
use crate::memory::ALIGNMENT;
use crate::qgemm;
use crate::quantized::{Addition, Output, Requantize, Weights};
use crate::simd::LANES;
use crate::table::{Choice, Row, Table};
use crate::threads::{Disjoint, ThreadPool};
use pack::Packed;
use transform::{INNER, OUTER, TAPS};

/// What is taken from inputs, so that they are within 128 of 0.
const CENTER: Activation = (Activation::MIN as i32 + 128) as Activation;

/// The kernels, best first.
pub static TABLE: Table<Kernel> = Table {
    family: "qwinograd",
    rows: &[
        #[cfg(target_arch = "x86_64")]
        Row { name: "qwinograd_4x4_3x3_12x32_avx512_vnni", isa: Isa::Avx512Vnni, kernel: avx512_vnni::KERNEL },
        #[cfg(target_arch = "x86_64")]
        Row { name: "qwinograd_4x4_3x3_6x16_avx_vnni", isa: Isa::AvxVnni, kernel: avx_vnni::KERNEL },
        #[cfg(target_arch = "x86_64")]
        Row { name: "qwinograd_4x4_3x3_6x16_avx2", isa: Isa::Avx2, kernel: avx2::KERNEL },
        #[cfg(target_arch = "aarch64")]
        Row { name: "qwinograd_4x4_3x3_4x16_neon", isa: Isa::Neon, kernel: neon::KERNEL },
        Row { name: "qwinograd_4x4_3x3_scalar", isa: Isa::Scalar, kernel: scalar::KERNEL },
    ],
};

/// What a row of the table is.
#[derive(Debug)]
pub struct Kernel {
    /// Rows of a tile of a product. Any number of rows works.
    rows: usize,
    /// Columns of a panel; the last panel may have just [`LANES`].
    columns: usize,
    /// So many weights of one column lie side by side before the next column comes: 1 or 2.
    depth_group: usize,
    /// Products of bytes that the like row of [`qgemm`] does in the time of one product of words.
    bytes_for_word: usize,
    /// Transforms all channels of a tile of the input.
    ///
    /// # Safety
    /// The CPU has the row's instruction set, and the tile is what its fields say.
    input: unsafe fn(&InputTile),
    /// Multiplies one of the 36 matrices of a block with one panel of its weights.
    ///
    /// # Safety
    /// The CPU has the row's instruction set, and the product is what its fields say.
    multiply: unsafe fn(&Product),
    /// Transforms the sums of one tile and one panel, and makes outputs of them.
    ///
    /// # Safety
    /// The CPU has the row's instruction set, the tile is what its fields say, and nobody else has its places of the
    /// output.
    output: unsafe fn(&OutputTile),
}

/// The pixels under a tile, and where they go, transformed.
struct InputTile {
    /// Each has `depth` channels.
    pixels: [[*const Activation; INNER]; INNER],
    /// A multiple of [`LANES`].
    depth: usize,
    /// `depth` words of each of 36 matrices, of which the first begin here.
    to: *mut i16,
    /// Words from one matrix to the next.
    stride: usize,
}

/// One matrix product: rows of transformed inputs times one panel of weights.
struct Product {
    /// `rows` rows of `depth` words, one after the other.
    input: *const i16,
    rows: usize,
    /// A multiple of [`LANES`].
    depth: usize,
    /// Columns of the panel: the kernel's, or [`LANES`].
    columns: usize,
    /// `[depth / depth_group][columns][depth_group]`, aligned to 64 bytes.
    weights: *const i16,
    /// `rows` rows of `columns` sums, one after the other, aligned to 64 bytes.
    sums: *mut i32,
}

/// The sums of one tile, and where its outputs go.
struct OutputTile<'a> {
    /// `columns` sums of each of 36 matrices, of which the first begin here.
    sums: *const i32,
    /// Sums from one matrix to the next.
    stride: usize,
    columns: usize,
    /// For each of the columns.
    bias: &'a [i32],
    /// For each of the columns.
    multipliers: &'a [f32],
    output: Output,
    addition: Option<Addition>,
    /// Rows and columns of the tile that are inside the image: from 1 to 4.
    size: [usize; 2],
    /// The tile's first pixel, at the panel's first column.
    to: *mut Activation,
    /// As `to`, of what is added; dangles where nothing is.
    residual: *const Activation,
    /// Elements from one line of the image, and from one pixel, to the next.
    steps: [usize; 2],
}

/// Most bytes of a block: its transformed inputs, and the sums of one panel. They share the second-level cache with a
/// panel of weights that passes through.
const BLOCK_BYTES: usize = 384 << 10;

/// A quantized 3×3 convolution with transformed weights.
pub struct QWinogradConv2d {
    row: &'static Row<Kernel>,
    geometry: Geometry,
    packed: Packed,
    output: Output,
    addition: Option<Addition>,
    /// A pixel of the padding.
    padding: Vec<Activation>,
    split: Split,
    threads: usize,
}

impl QWinogradConv2d {
    /// Whether a convolution can be done so: 3×3 windows side by side, whole vectors of channels, and weights so small
    /// that no sum leaves the range in which it is known.
    pub fn fits(geometry: &Geometry, weights: &Weights) -> bool {
        geometry.kernel == [TAPS; 2]
            && geometry.stride == [1, 1]
            && geometry.dilation == [1, 1]
            && geometry.groups == 1
            && [geometry.input[2], geometry.output[2]].iter().all(|&channels| channels != 0 && channels % LANES == 0)
            && pack::sums_are_known(weights, geometry.output[2])
    }

    /// Whether it [fits](Self::fits) and is faster than [`QConv2d`](qgemm::QConv2d), by a rough count of what either
    /// does.
    pub fn pays(choice: Choice, geometry: &Geometry, weights: &Weights) -> bool {
        // What else a tile takes, in the time of so many products for each channel of the input and of the output; and
        // a weight that comes from memory.
        const INPUT: usize = 170;
        const OUTPUT: usize = 400;
        const WEIGHT: usize = 6;
        let row = TABLE.pick(choice);
        let [height, width, columns] = geometry.output;
        let depth = geometry.input[2];
        let tiles = height.div_ceil(OUTER) * width.div_ceil(OUTER);
        let direct = || height * width * TAPS * TAPS * depth * columns / row.kernel.bytes_for_word;
        let transformed =
            || (tiles + WEIGHT) * INNER * INNER * depth * columns + tiles * (INPUT * depth + OUTPUT * columns);
        row.isa == qgemm::TABLE.pick(choice).isa && Self::fits(geometry, weights) && transformed() < direct()
    }

    /// Packs the weights, `[out_channels][3][3][in_channels]`, for the kernel that `choice` allows here, to be run by
    /// pools of up to `threads` threads.
    ///
    /// # Panics
    /// When it does not [fit](Self::fits), lengths do not fit the geometry, a multiplier is not finite, a weight zero
    /// point is not an `i8`, or another zero point or bound is not an [`Activation`].
    pub fn new(
        choice: Choice,
        geometry: Geometry,
        weights: &Weights,
        input_zero_point: i32,
        requantize: &Requantize,
        residual: Option<Addition>,
        threads: usize,
    ) -> QWinogradConv2d {
        let row = TABLE.pick(choice);
        qgemm::check(&geometry, weights, requantize);
        assert!(QWinogradConv2d::fits(&geometry, weights), "no convolution for Winograd's transforms: {geometry:?}");
        let zero_point = Activation::try_from(input_zero_point).expect("a zero point is the value of an activation");
        let threads = threads.max(1);
        QWinogradConv2d {
            row,
            packed: pack::pack(&row.kernel, &geometry, weights, zero_point, requantize),
            output: requantize.output(),
            addition: residual,
            padding: vec![zero_point; geometry.input[2]],
            split: Split::new(&row.kernel, &geometry, threads),
            geometry,
            threads,
        }
    }

    /// The kernel's name in the table.
    pub fn kernel_name(&self) -> &'static str {
        self.row.name
    }

    /// Bytes of the packed weights, and of all that is packed with them.
    pub fn weights_bytes(&self) -> usize {
        size_of_val(&*self.packed.weights) + self.packed.bias.len() * 8
    }

    /// Bytes of scratch memory that [`run`](Self::run) needs for all its threads, wherever they begin.
    pub fn scratch_bytes(&self) -> usize {
        self.threads * self.areas().iter().sum::<usize>() + ALIGNMENT
    }

    /// Bytes of a thread's scratch areas, each a multiple of [`ALIGNMENT`]: transformed inputs, and sums of a panel.
    fn areas(&self) -> [usize; 2] {
        let (input, sums) = self.strides();
        [INNER * INNER * input * size_of::<i16>(), INNER * INNER * sums * size_of::<i32>()]
    }

    /// Words from one of the 36 matrices of inputs to the next, and sums from one of theirs to the next: odd numbers of
    /// cache lines, since lines that are a power of two apart would share few places of a cache.
    fn strides(&self) -> (usize, usize) {
        let odd_lines = |bytes: usize| bytes.div_ceil(ALIGNMENT) / 2 * 2 * ALIGNMENT + ALIGNMENT;
        let (depth, columns) = (self.geometry.input[2], self.row.kernel.columns);
        let input = odd_lines(self.split.block * depth * size_of::<i16>()) / size_of::<i16>();
        let sums = odd_lines(self.split.block * columns * size_of::<i32>()) / size_of::<i32>();
        (input, sums)
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
        assert_eq!(residual.is_some(), self.addition.is_some(), "a residual goes with an addition");
        residual.iter().for_each(|residual| assert_eq!(residual.len(), output.len(), "residual"));
        assert!(pool.threads() <= self.threads, "planned for {} threads, not {}", self.threads, pool.threads());
        let areas = self.areas();
        let each = areas.iter().sum::<usize>();
        let start = scratch.as_ptr().align_offset(ALIGNMENT);
        let scratch = Disjoint::new(&mut scratch[start..][..self.threads * each]);
        let output = Disjoint::new(output);
        pool.run(self.split.tasks(), &|task, thread| {
            // SAFETY: at one time no two threads of a run have the same index.
            let scratch = unsafe { scratch.slice(thread * each..(thread + 1) * each) };
            let (words, sums) = scratch.split_at_mut(areas[0]);
            let (inputs, sums): (&mut [i16], &mut [i32]) =
                (bytemuck::cast_slice_mut(words), bytemuck::cast_slice_mut(sums));
            let (tiles, columns) = self.split.task(task);
            self.transform_inputs(input, tiles.clone(), inputs);
            for panel in columns.clone().step_by(self.row.kernel.columns) {
                let columns = panel..columns.end.min(panel + self.row.kernel.columns);
                self.multiply(inputs, tiles.len(), columns.clone(), sums);
                // SAFETY: the output is as long as its shape says, and no other task has these columns of these tiles.
                unsafe { self.write_outputs(sums, tiles.clone(), columns, residual, output.start()) };
            }
        });
    }

    /// Height and width of the output in tiles.
    fn grid(geometry: &Geometry) -> [usize; 2] {
        [0, 1].map(|axis| geometry.output[axis].div_ceil(OUTER))
    }

    /// The first pixel of a tile.
    fn first_pixel(&self, tile: usize) -> [usize; 2] {
        let [_, width] = Self::grid(&self.geometry);
        [tile / width * OUTER, tile % width * OUTER]
    }

    fn transform_inputs(&self, input: &[Activation], tiles: Range<usize>, inputs: &mut [i16]) {
        let Geometry { input: [height, width, depth], padding, .. } = self.geometry;
        let (stride, _) = self.strides();
        assert!(
            input.len() >= height * width * depth && inputs.len() >= (INNER * INNER - 1) * stride + tiles.len() * depth
        );
        for (index, tile) in tiles.enumerate() {
            let [y, x] = self.first_pixel(tile);
            let mut pixels = [[self.padding.as_ptr(); INNER]; INNER];
            for (i, line) in pixels.iter_mut().enumerate() {
                let Some(y) = (y + i).checked_sub(padding[0]).filter(|&y| y < height) else { continue };
                for (j, pixel) in line.iter_mut().enumerate() {
                    let x = (x + j).wrapping_sub(padding[1]);
                    if x < width {
                        *pixel = input.as_ptr().wrapping_add((y * width + x) * depth);
                    }
                }
            }
            let to = inputs.as_mut_ptr().wrapping_add(index * depth);
            // SAFETY: the table gives only rows that this CPU can run. A pixel is one of the image or of the padding,
            // and the matrices have a row for each tile.
            unsafe { (self.row.kernel.input)(&InputTile { pixels, depth, to, stride }) };
        }
    }

    /// The 36 products of a block with one panel.
    fn multiply(&self, inputs: &[i16], rows: usize, columns: Range<usize>, sums: &mut [i32]) {
        let (depth, (input_stride, stride)) = (self.geometry.input[2], self.strides());
        let matrix = depth * columns.len();
        let panel = &self.packed.weights[INNER * INNER * depth * columns.start..][..INNER * INNER * matrix];
        for (i, weights) in panel.chunks_exact(matrix).enumerate() {
            let product = Product {
                input: inputs[i * input_stride..][..rows * depth].as_ptr(),
                rows,
                depth,
                columns: columns.len(),
                weights: weights.as_ptr(),
                sums: sums[i * stride..][..rows * columns.len()].as_mut_ptr(),
            };
            // SAFETY: the table gives only rows that this CPU can run, and the slices were just cut to the product's
            // size. Scratch and weights begin on a cache line, of which matrices, of vectors of channels, are
            // multiples.
            unsafe { (self.row.kernel.multiply)(&product) };
        }
    }

    /// # Safety
    /// `to` is the output's first element, and nobody else has these columns of these tiles.
    unsafe fn write_outputs(
        &self,
        sums: &[i32],
        tiles: Range<usize>,
        columns: Range<usize>,
        residual: Option<&[Activation]>,
        to: *mut Activation,
    ) {
        let [height, width, channels] = self.geometry.output;
        let (_, stride) = self.strides();
        assert!(sums.len() >= (INNER * INNER - 1) * stride + tiles.len() * columns.len());
        for (index, tile) in tiles.enumerate() {
            let [y, x] = self.first_pixel(tile);
            let first = (y * width + x) * channels + columns.start;
            let tile = OutputTile {
                sums: sums.as_ptr().wrapping_add(index * columns.len()),
                stride,
                columns: columns.len(),
                bias: &self.packed.bias[columns.clone()],
                multipliers: &self.packed.multipliers[columns.clone()],
                output: self.output,
                addition: self.addition,
                size: [OUTER.min(height - y), OUTER.min(width - x)],
                to: to.wrapping_add(first),
                residual: residual.map_or(std::ptr::null(), |residual| residual[first..].as_ptr()),
                steps: [width * channels, channels],
            };
            // SAFETY: the table gives only rows that this CPU can run; the tile is cut to the image.
            unsafe { (self.row.kernel.output)(&tile) };
        }
    }
}

/// How the work is cut into tasks of nearly equal size.
#[derive(Clone, Copy, Debug)]
struct Split {
    tiles: usize,
    columns: usize,
    /// Tiles of a block; the last one may have fewer.
    block: usize,
    /// Columns of a chunk; the last one may have fewer.
    chunk: usize,
}

impl Split {
    fn new(kernel: &Kernel, geometry: &Geometry, threads: usize) -> Split {
        let [height, width] = QWinogradConv2d::grid(geometry);
        let (tiles, columns) = (height * width, geometry.output[2]);
        let tile_bytes = INNER * INNER * (geometry.input[2] * size_of::<i16>() + kernel.columns * size_of::<i32>());
        let blocks = (tiles * tile_bytes).div_ceil(BLOCK_BYTES).max(1);
        // With few tiles, the threads share the columns: each then reads a part of the weights.
        let few = tiles < 2 * kernel.rows * threads;
        let (blocks, chunks) = if few { (blocks, threads) } else { (blocks.next_multiple_of(threads), 1) };
        let block = tiles.div_ceil(blocks).max(1);
        let chunk = columns.div_ceil(kernel.columns).div_ceil(chunks) * kernel.columns;
        Split { tiles, columns, block, chunk }
    }

    fn tasks(&self) -> usize {
        self.tiles.div_ceil(self.block) * self.columns.div_ceil(self.chunk)
    }

    /// A task's tiles, and its columns.
    fn task(&self, task: usize) -> (Range<usize>, Range<usize>) {
        let chunks = self.columns.div_ceil(self.chunk);
        let range = |i: usize, step: usize, end: usize| i * step..end.min((i + 1) * step);
        (range(task / chunks, self.block, self.tiles), range(task % chunks, self.chunk, self.columns))
    }
}
