//! Convolution of floats with 3×3 windows by Winograd's minimal filtering, F(4×4, 3×3) and F(2×2, 3×3) of Lavin and
//! Gray, "Fast Algorithms for Convolutional Neural Networks" (2016): a quarter or four ninths of the definition's
//! multiplications.
//!
//! The image falls into squares of 6×6 pixels that overlap by two, each of which gives 4×4 pixels of the output; or of
//! 4×4 that give 2×2. Squares and windows are transformed, by small matrices of integers and of fractions; then each
//! place of a square is a matrix product over channels, which [`gemm`]'s kernels compute; and the sums are transformed
//! back.
//!
//! It is another formula than the convolution's definition: results differ from it by rounding, by some millionths of
//! the largest output, up to a fifty-thousandth where there are hundreds of channels. But it is one formula: every row
//! gives the same bits. [`Filter::of`] chooses it from the geometry alone.

use std::ops::Range;

use crate::cpu::Isa;
use crate::gemm::{self, Tile};
use crate::geometry::Geometry;
use crate::memory::{ALIGNMENT, Aligned};
use crate::simd::LANES;
use crate::table::{Choice, Row, Table};
use crate::threads::{Disjoint, ThreadPool};

mod scalar;
#[cfg(test)]
mod tests;
mod vector;

/// The transforms of a row.
#[derive(Debug)]
pub struct Kernel {
    /// For each [`Filter`]. The CPU must have the row's instruction set. What a square and a block point to must be
    /// there, and nobody else may use what they write to.
    input: [unsafe fn(&Square); 2],
    output: [unsafe fn(&Block); 2],
}

/// The kernels for Winograd's convolution of floats.
pub static TABLE: Table<Kernel> = Table {
    family: "winograd",
    rows: &[
        #[cfg(target_arch = "x86_64")]
        Row {
            name: "winograd_f32_avx512",
            isa: Isa::Avx512,
            kernel: Kernel {
                input: [vector::input_four::avx512, vector::input_two::avx512],
                output: [vector::output_four::avx512, vector::output_two::avx512],
            },
        },
        #[cfg(target_arch = "x86_64")]
        Row {
            name: "winograd_f32_avx2",
            isa: Isa::Avx2,
            kernel: Kernel {
                input: [vector::input_four::avx2, vector::input_two::avx2],
                output: [vector::output_four::avx2, vector::output_two::avx2],
            },
        },
        #[cfg(target_arch = "aarch64")]
        Row {
            name: "winograd_f32_neon",
            isa: Isa::Neon,
            kernel: Kernel {
                input: [vector::input_four::neon, vector::input_two::neon],
                output: [vector::output_four::neon, vector::output_two::neon],
            },
        },
        Row {
            name: "winograd_f32_scalar",
            isa: Isa::Scalar,
            kernel: Kernel {
                input: [scalar::input::<6>, scalar::input::<4>],
                output: [scalar::output::<6, 4>, scalar::output::<4, 2>],
            },
        },
    ],
};

/// How large the squares are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// F(4×4, 3×3)
    Four,
    /// F(2×2, 3×3), which has more multiplications and fewer weights.
    Two,
}

/// The most places that a square has.
const MAX_PLACES: usize = 36;

/// A square of the input, to be transformed.
struct Square {
    /// Its pixels, row by row; zeros for padding.
    pixels: [*const f32; MAX_PLACES],
    /// At least [`LANES`].
    channels: usize,
    /// Where the channels of the first place go; those of the others are `pitch` elements apart.
    to: *mut f32,
    pitch: usize,
}

/// Sums of products, to be transformed to a block of the output.
struct Block {
    /// Those of the first place; those of the others are `pitch` elements apart. There are `channels`, on whole
    /// vectors.
    sums: *const f32,
    pitch: usize,
    channels: usize,
    /// One a channel, on whole vectors.
    bias: *const f32,
    /// The first pixel, of which `channels` are computed.
    output: *mut f32,
    /// As `output`, what is added at the end; null for nothing.
    residual: *const f32,
    /// Elements from a line to the next, and from a pixel to the next.
    strides: [usize; 2],
    /// Height and width of what lies in the output, up to that of a block.
    size: [usize; 2],
    bounds: [f32; 2],
}

/// Bytes of transformed squares that are multiplied before the next are transformed: they stay in the second-level
/// cache.
const BAND_BYTES: usize = 448 << 10;
/// With fewer squares than this, what takes the time is to read the weights, of which there are four times as many as
/// in the definition, or nearly two.
const FEW_SQUARES: usize = 24;
/// With fewer channels, of the input or of the output, transforms take longer than products.
const FEW_CHANNELS: usize = 32;
/// A thread gets about so many tasks.
const TASKS: usize = 4;

impl Filter {
    /// The filter that computes a convolution faster than the definition does, if one does. It depends on nothing but
    /// the geometry, so that results do not depend on the CPU.
    pub fn of(geometry: &Geometry) -> Option<Filter> {
        let Geometry { input, output, kernel, stride, dilation, groups, .. } = *geometry;
        let fits = kernel == [3, 3] && stride == [1, 1] && dilation == [1, 1] && groups == 1;
        if !fits || input[2].min(output[2]) < FEW_CHANNELS {
            return None;
        }
        // Multiplications for each pair of channels. Transforms, too, take their time.
        let products = |filter: Filter| filter.places() * filter.squares(geometry).max(FEW_SQUARES) * 5 / 4;
        let best = [Filter::Four, Filter::Two].into_iter().min_by_key(|&filter| products(filter))?;
        (products(best) < 9 * output[0] * output[1]).then_some(best)
    }

    /// Height and width of a block of the output.
    fn block(self) -> usize {
        match self {
            Filter::Four => 4,
            Filter::Two => 2,
        }
    }

    /// Height and width of the square of the input that gives a block.
    fn square(self) -> usize {
        self.block() + 2
    }

    /// Places in a square.
    fn places(self) -> usize {
        self.square() * self.square()
    }

    /// Squares of an image.
    fn squares(self, geometry: &Geometry) -> usize {
        geometry.output[0].div_ceil(self.block()) * geometry.output[1].div_ceil(self.block())
    }

    /// The transform of a window, `G g Gᵀ`, rounded once.
    fn transform(self, window: [f32; 9]) -> [f32; MAX_PLACES] {
        let along = |[a, b, c]: [f64; 3]| match self {
            Filter::Four => {
                let (near, far) = (a / 24.0 + c / 6.0, b / 12.0);
                [a / 4.0, -(a + c + b) / 6.0, -(a + c - b) / 6.0, near + far, near - far, c]
            }
            Filter::Two => [a, (a + c + b) / 2.0, (a + c - b) / 2.0, c, 0.0, 0.0],
        };
        let (window, side) = (window.map(f64::from), self.square());
        let columns: [[f64; 6]; 3] = std::array::from_fn(|x| along([window[x], window[3 + x], window[6 + x]]));
        let rows: [[f64; 6]; 6] = std::array::from_fn(|y| along(columns.map(|column| column[y])));
        std::array::from_fn(|place| rows[place / side % 6][place % side] as f32)
    }
}

/// A convolution with 3×3 windows of floats, packed for one kernel.
#[derive(Debug)]
pub struct Conv2d {
    row: &'static Row<Kernel>,
    gemm: &'static Row<gemm::Kernel>,
    geometry: Geometry,
    filter: Filter,
    /// `[panel][place][input channel][columns]`, on whole vectors.
    weights: Aligned<f32>,
    /// Followed by zeros, so that there is a whole vector from each on.
    bias: Aligned<f32>,
    /// What padding points to, and what the sums of products begin as.
    zeros: Aligned<f32>,
    bounds: [f32; 2],
    threads: usize,
    /// Squares that are transformed before they are multiplied.
    band: usize,
    /// Whether threads share the panels of a band, and not the bands.
    shares_panels: bool,
}

impl Conv2d {
    /// Packs a convolution for the best kernels that `choice` allows and pools of up to `threads` threads.
    ///
    /// `weights` are `[output channels][3][3][input channels]`. The output is clamped to `min..=max`.
    ///
    /// # Panics
    /// When lengths do not match the geometry, or the geometry has other windows, or fewer than 16 input channels.
    pub fn new(
        choice: Choice,
        geometry: &Geometry,
        filter: Filter,
        weights: &[f32],
        bias: Option<&[f32]>,
        [min, max]: [f32; 2],
        threads: usize,
    ) -> Conv2d {
        let Geometry { input: [.., inputs], output: [.., outputs], .. } = *geometry;
        let Geometry { kernel, stride, dilation, groups, .. } = *geometry;
        assert!(kernel == [3, 3] && stride == [1, 1] && dilation == [1, 1] && groups == 1, "windows of {geometry:?}");
        assert!(inputs >= LANES, "{inputs} input channels");
        assert_eq!(weights.len(), outputs * 9 * inputs, "weights");
        assert!(bias.is_none_or(|bias| bias.len() == outputs), "biases");
        let (row, gemm) = (TABLE.pick(choice), gemm::TABLE.pick(choice));
        let threads = threads.max(1);
        let places = filter.places();
        let whole = outputs.next_multiple_of(gemm.kernel.vector);

        let mut packed = Aligned::zeroed(places * inputs * whole);
        for (output, weights) in weights.chunks_exact((9 * inputs).max(1)).enumerate() {
            let panel = output / gemm.kernel.columns * gemm.kernel.columns;
            let lanes = gemm.kernel.columns.min(whole - panel);
            let packed = &mut packed[panel * places * inputs..][..lanes * places * inputs];
            for input in 0..inputs {
                let window = std::array::from_fn(|tap| weights[tap * inputs + input]);
                for (place, weight) in filter.transform(window).into_iter().enumerate().take(places) {
                    packed[(place * inputs + input) * lanes + output - panel] = weight;
                }
            }
        }
        let mut packed_bias = Aligned::zeroed(outputs + LANES);
        packed_bias[..outputs].copy_from_slice(bias.unwrap_or(&vec![0.0; outputs]));

        let squares = filter.squares(geometry);
        let square = places * inputs * size_of::<f32>();
        // Threads that share panels read each weight once; those that share bands transform for themselves alone.
        let shares_panels = threads > 1 && outputs > squares;
        let most = (BAND_BYTES / square).max(gemm.kernel.rows);
        let bands = squares.div_ceil(most).max(if shares_panels { 1 } else { threads });
        Conv2d {
            row,
            gemm,
            geometry: *geometry,
            filter,
            weights: packed,
            bias: packed_bias,
            zeros: Aligned::zeroed(inputs.max(gemm.kernel.columns)),
            bounds: [min, max],
            threads,
            band: squares.div_ceil(bands).max(1),
            shares_panels,
        }
    }

    /// The kernel that was picked.
    pub fn kernel_name(&self) -> &'static str {
        self.row.name
    }

    /// Bytes of weights and biases as packed.
    pub fn weights_bytes(&self) -> usize {
        size_of_val(&*self.weights) + size_of_val(&*self.bias)
    }

    /// Bytes of scratch memory that [`run`](Self::run) needs, wherever they begin.
    pub fn scratch_bytes(&self) -> usize {
        let bands = if self.shares_panels { 1 } else { self.threads };
        (bands * self.squares_len() + self.threads * self.sums_len()) * size_of::<f32>() + ALIGNMENT
    }

    /// Elements from a place of transformed squares to the next, and from a place of a panel's sums. A cache line more
    /// than needed, so that not all places fall into one set of a cache.
    fn pitches(&self) -> [usize; 2] {
        let elements = [self.geometry.input[2], self.gemm.kernel.columns.next_multiple_of(LANES)];
        elements.map(|elements| (self.band * elements).next_multiple_of(LANES) + LANES)
    }

    /// Elements of a band of transformed squares.
    fn squares_len(&self) -> usize {
        self.filter.places() * self.pitches()[0]
    }

    /// Elements of a panel's sums.
    fn sums_len(&self) -> usize {
        self.filter.places() * self.pitches()[1]
    }

    /// Convolves one image, and adds `residual`, which has the shape of the output. What `scratch` holds is of no
    /// matter.
    ///
    /// # Panics
    /// When a length does not match, the pool has more threads than was said, or `scratch` is too small.
    pub fn run(
        &self,
        pool: &ThreadPool,
        input: &[f32],
        residual: Option<&[f32]>,
        output: &mut [f32],
        scratch: &mut [u8],
    ) {
        let outputs = self.geometry.output[2];
        assert_eq!(input.len(), self.geometry.input_len(), "elements of the input");
        assert_eq!(output.len(), self.geometry.output_len(), "elements of the output");
        assert!(residual.is_none_or(|residual| residual.len() == output.len()), "elements of the residual");
        assert!(pool.threads() <= self.threads, "packed for {} threads, run by {}", self.threads, pool.threads());
        assert!(scratch.len() >= self.scratch_bytes(), "bytes of scratch");
        let start = scratch.as_ptr().align_offset(ALIGNMENT);
        let (_, scratch, _) = bytemuck::pod_align_to_mut::<u8, f32>(&mut scratch[start..]);
        let bands = if self.shares_panels { 1 } else { self.threads };
        let (transformed, sums) = scratch.split_at_mut(bands * self.squares_len());
        let (transformed, sums, output) = (Disjoint::new(transformed), Disjoint::new(sums), Disjoint::new(output));

        let squares = self.filter.squares(&self.geometry);
        let panels = outputs.div_ceil(self.gemm.kernel.columns);
        let part = |index: usize, len: usize| index * len..(index + 1) * len;
        let each = (0..squares).step_by(self.band).map(|first| first..squares.min(first + self.band));
        if self.shares_panels {
            for band in each {
                let tasks = band.len().min(pool.threads() * TASKS);
                pool.run(tasks, &|task, _| {
                    let those = task * band.len() / tasks..(task + 1) * band.len() / tasks;
                    // SAFETY: tasks write the elements of squares that no other task has.
                    unsafe { self.transform(input, &band, those, transformed.start()) };
                });
                pool.run(panels, &|panel, thread| {
                    // SAFETY: calls that overlap in time have different threads, thus parts that do not overlap; nobody
                    // writes the transformed squares, nor these channels of the output.
                    unsafe {
                        let sums = sums.slice(part(thread, self.sums_len()));
                        self.multiply(panel, &band, transformed.start(), sums, residual, output.start());
                    }
                });
            }
        } else {
            pool.run(squares.div_ceil(self.band), &|index, thread| {
                let band = index * self.band..squares.min((index + 1) * self.band);
                // SAFETY: calls that overlap in time have different threads, thus parts that do not overlap, and other
                // bands.
                unsafe {
                    let transformed = transformed.slice(part(thread, self.squares_len())).as_mut_ptr();
                    let sums = sums.slice(part(thread, self.sums_len()));
                    self.transform(input, &band, 0..band.len(), transformed);
                    for panel in 0..panels {
                        self.multiply(panel, &band, transformed, sums, residual, output.start());
                    }
                }
            });
        }
    }

    /// Transforms the squares `those` of a band to `[place][square][channel]`.
    ///
    /// # Safety
    /// There is room for [`squares_len`](Self::squares_len) elements, and nobody else uses those of these squares.
    unsafe fn transform(&self, input: &[f32], band: &Range<usize>, those: Range<usize>, to: *mut f32) {
        let Geometry { input: [height, width, channels], padding, .. } = self.geometry;
        let (block, side) = (self.filter.block(), self.filter.square());
        let across = self.geometry.output[1].div_ceil(block);
        for index in those {
            let [y, x] = [(band.start + index) / across, (band.start + index) % across].map(|at| at * block);
            let pixels = std::array::from_fn(|place| {
                let iy = (y + place / side).checked_sub(padding[0]).filter(|&iy| iy < height);
                let ix = (x + place % side).checked_sub(padding[1]).filter(|&ix| ix < width);
                match (iy, ix) {
                    (Some(iy), Some(ix)) => input[(iy * width + ix) * channels..][..channels].as_ptr(),
                    _ => self.zeros.as_ptr(),
                }
            });
            let to = to.wrapping_add(index * channels);
            // SAFETY: the table gives only rows that this CPU can run. All pixels have `channels` elements, and so has
            // each place of this square.
            unsafe {
                (self.row.kernel.input[self.filter as usize])(&Square {
                    pixels,
                    channels,
                    to,
                    pitch: self.pitches()[0],
                })
            };
        }
    }

    /// Computes the output channels of a panel for a band of squares.
    ///
    /// # Safety
    /// The squares are transformed, and nobody else uses these channels of these pixels of the output.
    unsafe fn multiply(
        &self,
        panel: usize,
        band: &Range<usize>,
        squares: *const f32,
        sums: &mut [f32],
        residual: Option<&[f32]>,
        output: *mut f32,
    ) {
        let Geometry { input: [.., inputs], output: [height, width, outputs], .. } = self.geometry;
        let gemm::Kernel { rows, columns, vector, run, .. } = self.gemm.kernel;
        let first = panel * columns;
        let present = columns.min(outputs - first);
        let lanes = columns.min(outputs.next_multiple_of(vector) - first);
        let stride = columns.next_multiple_of(LANES);
        let [squares_pitch, pitch] = self.pitches();
        let places = self.filter.places();
        let weights = &self.weights[first * places * inputs..][..lanes * places * inputs];
        let tiles_of_band = band.len().div_ceil(rows);
        let mut pointers = [squares; MAX_ROWS];
        for place in 0..places {
            let at = place * inputs * lanes;
            for (index, (start, height)) in gemm::tiles(band.len(), rows).enumerate() {
                for (i, pointer) in pointers[..height].iter_mut().enumerate() {
                    *pointer = squares.wrapping_add(place * squares_pitch + (start + i) * inputs);
                }
                let tile = Tile {
                    pieces: pointers.as_ptr(),
                    count: 1,
                    offset: 0,
                    len: inputs,
                    weights: weights[at..][..inputs * lanes].as_ptr(),
                    // Those of the next place, of which each tile has a share fetched.
                    ahead: weights.as_ptr().wrapping_add(at + inputs * lanes + inputs * lanes * index / tiles_of_band),
                    ahead_step: lanes / tiles_of_band,
                    start: self.zeros.as_ptr(),
                    output: sums[place * pitch + start * stride..][..height * stride].as_mut_ptr(),
                    residual: std::ptr::null(),
                    stride,
                    rows: height,
                    columns: lanes,
                    bounds: [f32::NEG_INFINITY, f32::INFINITY],
                };
                // SAFETY: the table gives only rows that this CPU can run, the squares are there, and the sums are this
                // call's.
                unsafe { run(&tile) };
            }
        }
        let block = self.filter.block();
        let across = width.div_ceil(block);
        for (index, square) in band.clone().enumerate() {
            let [y, x] = [square / across, square % across].map(|at| at * block);
            let place = (y * width + x) * outputs + first;
            let sums = Block {
                sums: sums[index * stride..].as_ptr(),
                pitch,
                channels: present,
                bias: self.bias[first..].as_ptr(),
                output: output.wrapping_add(place),
                residual: residual.map_or(std::ptr::null(), |residual| residual[place..].as_ptr()),
                strides: [width * outputs, outputs],
                size: [height - y, width - x].map(|size| size.min(block)),
                bounds: self.bounds,
            };
            // SAFETY: the table gives only rows that this CPU can run. The block is inside the output, and its channels
            // are this call's.
            unsafe { (self.row.kernel.output[self.filter as usize])(&sums) };
        }
    }
}

/// The most rows that a tile of [`gemm`] has.
const MAX_ROWS: usize = 32;
