//! Depth first: a quantized convolution, a depthwise one and a pointwise one, as in inverted residuals, band by band.
//!
//! What lies between the three is several times as wide as what goes in and comes out. Layer by layer it is written to
//! memory and read again; here a few rows of it are made, used and overwritten while they are in the cache next to the
//! core:
//!
//! 1. The first convolution makes the rows that the next windows lack, in a ring of rows.
//! 2. The depthwise convolution makes a few rows of them.
//! 3. The last convolution makes as many rows of the output.
//!
//! Threads share the output's rows; at the seams both make the rows of the ring that both need. The first or the last
//! convolution may be missing.

use std::ops::Range;

use crate::Activation;
use crate::geometry::Geometry;
use crate::memory::ALIGNMENT;
use crate::qdwconv::{QDepthwiseConv2d, Rows};
use crate::qgemm::QConv2d;
use crate::threads::{Disjoint, ThreadPool};

/// Bytes of the rows between the convolutions: a part of the second-level cache of a core, or of its share of one (a
/// Cortex-A72 has 1 MiB for four).
const BETWEEN_BYTES: usize = 96 << 10;

/// Bytes of a tensor from which it pays not to write it to memory.
const WIDE_BYTES: usize = 192 << 10;

/// Up to three convolutions that run depth first.
pub struct DepthFirst {
    first: Option<QConv2d>,
    depthwise: QDepthwiseConv2d,
    last: Option<QConv2d>,
    /// Rows of the depthwise convolution's output that are made at a time.
    step: usize,
    /// Rows of the ring, if there is a first convolution.
    held: usize,
    threads: usize,
}

impl DepthFirst {
    /// Whether convolutions can run so: `first`, if there is one, makes the input of `depthwise`, and `last`, if there
    /// is one, reads just its output.
    pub fn fits(first: Option<&QConv2d>, depthwise: &QDepthwiseConv2d, last: Option<&QConv2d>) -> bool {
        let geometry = depthwise.geometry();
        first.is_none_or(|first| !first.adds() && first.geometry().output == geometry.input)
            && last.is_none_or(|last| last.is_local() && last.geometry().input == geometry.output)
            && geometry.dilation[0] == 1
    }

    /// Whether they also are so wide in between that it pays.
    pub fn pays(first: Option<&QConv2d>, depthwise: &QDepthwiseConv2d, last: Option<&QConv2d>) -> bool {
        let geometry = depthwise.geometry();
        let between = [first.map(|_| geometry.input_len()), last.map(|_| geometry.output_len())];
        let widest = between.into_iter().flatten().max();
        DepthFirst::fits(first, depthwise, last) && widest.is_some_and(|widest| widest >= WIDE_BYTES)
    }

    /// For pools of up to `threads` threads.
    ///
    /// # Panics
    /// When they do not [fit](Self::fits).
    pub fn new(
        first: Option<QConv2d>,
        depthwise: QDepthwiseConv2d,
        last: Option<QConv2d>,
        threads: usize,
    ) -> DepthFirst {
        assert!(DepthFirst::fits(first.as_ref(), &depthwise, last.as_ref()), "the convolutions fit together");
        let Geometry { input, output, kernel, stride, .. } = *depthwise.geometry();
        let together = depthwise.rows_together();
        let held = |step: usize| ((step - 1) * stride[0] + kernel[0]).min(input[0]);
        let between = |step: usize| {
            let ring = if first.is_some() { held(step) * input[1] * input[2] } else { 0 };
            ring + if last.is_some() { step * output[1] * output[2] } else { 0 }
        };
        let mut step = together;
        while step < output[0] && between(step + together) <= BETWEEN_BYTES {
            step += together;
        }
        DepthFirst { held: held(step), first, depthwise, last, step, threads: threads.max(1) }
    }

    /// The kernel's name.
    pub fn kernel_name(&self) -> &'static str {
        "depth_first"
    }

    /// Bytes of the packed weights, and of all that is packed with them.
    pub fn weights_bytes(&self) -> usize {
        let convolutions = [&self.first, &self.last].into_iter().flatten();
        convolutions.map(QConv2d::weights_bytes).sum::<usize>() + self.depthwise.weights_bytes()
    }

    /// Bytes of scratch memory that [`run`](Self::run) needs for all its threads, wherever they begin.
    pub fn scratch_bytes(&self) -> usize {
        self.threads * self.areas().iter().sum::<usize>() + ALIGNMENT
    }

    /// Whether it ends with the addition of a residual.
    pub fn adds(&self) -> bool {
        self.last.as_ref().is_some_and(QConv2d::adds)
    }

    /// The shape of the input and of the output.
    fn ends(&self) -> [[usize; 3]; 2] {
        let Geometry { input, output, .. } = self.depthwise.geometry();
        let input = self.first.as_ref().map_or(input, |first| &first.geometry().input);
        [*input, self.last.as_ref().map_or(*output, |last| last.geometry().output)]
    }

    /// Bytes of a thread's scratch areas, each a multiple of [`ALIGNMENT`]: the ring, the rows after the depthwise
    /// convolution, and what the convolutions need, in turn.
    fn areas(&self) -> [usize; 3] {
        let Geometry { input: [_, in_width, in_channels], output: [_, width, channels], .. } =
            *self.depthwise.geometry();
        let convolutions = [&self.first, &self.last].into_iter().flatten().map(QConv2d::thread_scratch_bytes);
        [
            if self.first.is_some() { self.held * in_width * in_channels } else { 0 },
            if self.last.is_some() { self.step * width * channels } else { 0 },
            convolutions.fold(self.depthwise.thread_scratch_bytes(), usize::max),
        ]
        .map(|bytes| bytes.next_multiple_of(ALIGNMENT))
    }

    /// Runs on one image. `residual` is there exactly if it [`adds`](Self::adds), and shaped as the output.
    ///
    /// # Panics
    /// When a slice is not as long as it should be, or the pool has more threads than were planned for.
    pub fn run(
        &self,
        pool: &ThreadPool,
        input: &[Activation],
        residual: Option<&[Activation]>,
        output: &mut [Activation],
        scratch: &mut [u8],
    ) {
        let [from, to] = self.ends();
        assert_eq!(input.len(), from.iter().product::<usize>(), "input");
        assert_eq!(output.len(), to.iter().product::<usize>(), "output");
        assert_eq!(residual.is_some(), self.adds(), "a residual goes with an addition");
        residual.iter().for_each(|residual| assert_eq!(residual.len(), output.len(), "residual"));
        assert!(pool.threads() <= self.threads, "planned for {} threads, not {}", self.threads, pool.threads());
        let each = self.areas().iter().sum::<usize>();
        let start = scratch.as_ptr().align_offset(ALIGNMENT);
        let scratch = Disjoint::new(&mut scratch[start..][..self.threads * each]);
        let [height, width, channels] = to;
        let row = width * channels;
        let band = height.div_ceil(pool.threads()).next_multiple_of(self.depthwise.rows_together()).max(1);
        pool.for_each_chunk(output, band * row, |index, thread, output| {
            // SAFETY: at one time no two threads of a run have the same index.
            let scratch = unsafe { scratch.slice(thread * each..(thread + 1) * each) };
            let rows = index * band..height.min((index + 1) * band);
            let residual = residual.map(|residual| &residual[rows.start * row..]);
            self.run_band(input, rows, residual, output, scratch);
        });
    }

    /// Rows `rows` of the output, with which `residual` and `output` begin.
    fn run_band(
        &self,
        input: &[Activation],
        rows: Range<usize>,
        residual: Option<&[Activation]>,
        output: &mut [Activation],
        scratch: &mut [u8],
    ) {
        let Geometry { input: [in_height, in_width, in_channels], output: [_, width, channels], .. } =
            *self.depthwise.geometry();
        let [_, [_, _, out_channels]] = self.ends();
        let [ring_bytes, between_bytes, _] = self.areas();
        let (ring, scratch) = scratch.split_at_mut(ring_bytes);
        let (between, scratch) = scratch.split_at_mut(between_bytes);
        let in_row = in_width * in_channels;
        let ring: &mut [Activation] = bytemuck::cast_slice_mut(ring);
        let between: &mut [Activation] = bytemuck::cast_slice_mut(between);
        let mut made = 0;
        for start in rows.clone().step_by(self.step) {
            let step = start..rows.end.min(start + self.step);
            let source = match &self.first {
                None => Rows::new(input, in_row, in_height),
                Some(first) => {
                    let needed = self.under(&step);
                    self.make(first, input, needed.start.max(made)..needed.end, ring, scratch);
                    made = needed.end.max(made);
                    Rows::new(&ring[..self.held * in_row], in_row, self.held)
                }
            };
            let skipped = (start - rows.start) * width * out_channels;
            let output = &mut output[skipped..][..step.len() * width * out_channels];
            let Some(last) = &self.last else {
                self.depthwise.run_rows(source, step, output, scratch);
                continue;
            };
            let between = &mut between[..step.len() * width * channels];
            self.depthwise.run_rows(source, step.clone(), between, scratch);
            let residual = residual.map(|residual| &residual[skipped..]);
            last.run_rows(between, step.start * width..step.end * width, residual, output, scratch);
        }
    }

    /// The rows of the image under the windows of the depthwise convolution's rows `rows`.
    fn under(&self, rows: &Range<usize>) -> Range<usize> {
        let Geometry { input: [height, ..], kernel, stride, padding, .. } = *self.depthwise.geometry();
        let end = ((rows.end - 1) * stride[0] + kernel[0]).saturating_sub(padding[0]).min(height);
        (rows.start * stride[0]).saturating_sub(padding[0]).min(end)..end
    }

    /// Makes `rows` of the first convolution, row `y` in place `y % held` of the ring.
    fn make(
        &self,
        first: &QConv2d,
        input: &[Activation],
        rows: Range<usize>,
        ring: &mut [Activation],
        scratch: &mut [u8],
    ) {
        let [_, width, channels] = first.geometry().output;
        let mut y = rows.start;
        while y < rows.end {
            let place = y % self.held;
            let end = rows.end.min(y + self.held - place);
            let places = &mut ring[place * width * channels..][..(end - y) * width * channels];
            first.run_rows(input, y * width..end * width, None, places, scratch);
            y = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantized::{Addition, Output, Requantize, Weights};
    use crate::table::Choice;
    use crate::testing::{Random, each_choice, misaligned};

    /// Convolutions from a `size`² image of `channels` channels to `wide` of them and back.
    struct Case {
        first: Geometry,
        depthwise: Geometry,
        last: Geometry,
        seed: u64,
    }

    impl Case {
        fn new(size: usize, channels: usize, wide: usize, kernel: usize, stride: usize) -> Case {
            let pointwise = |size: usize, from: usize, to: usize| Geometry {
                input: [size, size, from],
                output: [size, size, to],
                ..Geometry::matrix(1, 1, 1)
            };
            let out = size.div_ceil(stride);
            let depthwise = Geometry {
                input: [size, size, wide],
                output: [out, out, wide],
                kernel: [kernel; 2],
                stride: [stride; 2],
                dilation: [1, 1],
                padding: [kernel / 2; 2],
                groups: wide,
            };
            let (first, last) = (pointwise(size, channels, wide), pointwise(out, wide, channels));
            Case { first, depthwise, last, seed: (size * kernel * stride) as u64 }
        }

        /// The three convolutions, of which the last one adds a residual if `adds`.
        fn make(&self, choice: Choice, adds: bool, threads: usize) -> (QConv2d, QDepthwiseConv2d, QConv2d) {
            let mut random = Random::new(self.seed);
            let low = i32::from(Activation::MIN);
            let mut weights = |len: usize| -> Vec<i8> { (0..len).map(|_| random.next() as i8).collect() };
            let requantize =
                |multipliers| Requantize { multipliers, zero_point: low + 90, min: low, max: Activation::MAX.into() };
            let [Geometry { output: [_, _, wide], input: [_, _, channels], .. }, _] = [self.first, self.last];
            let values =
                [weights(wide * channels), weights(self.depthwise.kernel[0].pow(2) * wide), weights(wide * channels)];
            let weights = |index: usize| Weights { values: &values[index], zero_points: &[0], bias: None };
            let residual = adds.then(|| {
                Addition::new(
                    [low + 90, low + 3],
                    [300_000, 500_000],
                    20,
                    Output::new(low + 7, low, Activation::MAX.into()),
                )
            });
            (
                QConv2d::new(choice, self.first, &weights(0), low + 5, &requantize(&[0.004]), None, threads),
                QDepthwiseConv2d::new(choice, &self.depthwise, &weights(1), low + 90, &requantize(&[0.002]), threads),
                QConv2d::new(choice, self.last, &weights(2), low + 90, &requantize(&[0.0008]), residual, threads),
            )
        }

        /// Depth first gives what layer by layer gives.
        fn check(&self) {
            let mut random = Random::new(self.seed + 1);
            let input = random.activations(self.first.input_len());
            let other = random.activations(self.last.output_len());
            for choice in each_choice(&crate::qgemm::TABLE) {
                for (threads, adds) in [(1, true), (1, false), (2, true), (3, false)] {
                    let pool = ThreadPool::new(threads);
                    let residual = adds.then_some(&other[..]);
                    let (first, depthwise, last) = self.make(choice, adds, threads);
                    let mut wide = vec![0; self.first.output_len()];
                    let mut filtered = vec![0; self.depthwise.output_len()];
                    let mut expected = vec![0; self.last.output_len()];
                    let mut scratch = vec![0; first.scratch_bytes()];
                    first.run(&pool, &input, None, &mut wide, &mut scratch);
                    scratch.resize(depthwise.scratch_bytes(), 0);
                    depthwise.run(&pool, &wide, &mut filtered, &mut scratch);
                    scratch.resize(last.scratch_bytes(), 0);
                    last.run(&pool, &filtered, residual, &mut expected, &mut scratch);
                    let make = || self.make(choice, adds, threads);
                    let run = |convolutions: DepthFirst, input: &[Activation], residual, expected: &[Activation]| {
                        let mut output = misaligned(&vec![0; expected.len()]);
                        let mut scratch = misaligned(&vec![0xa5; convolutions.scratch_bytes()]);
                        convolutions.run(&pool, input, residual, &mut output, &mut scratch);
                        assert_eq!(*output, *expected, "{:?}, {choice:?}, {threads} threads", self.depthwise);
                    };
                    run(DepthFirst::new(Some(first), depthwise, Some(last), threads), &input, residual, &expected);
                    let (first, depthwise, last) = make();
                    run(DepthFirst::new(None, depthwise, Some(last), threads), &wide, residual, &expected);
                    let depthwise = make().1;
                    run(DepthFirst::new(Some(first), depthwise, None, threads), &input, None, &filtered);
                }
            }
        }
    }

    #[test]
    fn equals_layer_by_layer() {
        for (kernel, stride) in [(3, 1), (3, 2), (5, 1), (5, 2), (2, 1)] {
            // So large that there are several steps; so small that the windows are larger.
            for size in [52, 1, 3] {
                Case::new(size, 8, if size > 9 { 80 } else { 24 }, kernel, stride).check();
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_found_out() {
        let (first, depthwise, last) = Case::new(6, 8, 16, 3, 1).make(Choice::Best, true, 1);
        assert!(DepthFirst::fits(Some(&first), &depthwise, Some(&last)));
        assert!(!DepthFirst::pays(Some(&first), &depthwise, Some(&last)), "too small");
        assert!(!DepthFirst::fits(Some(&last), &depthwise, None), "a residual in the middle, and other channels");
        let (first, _, last) = Case::new(7, 8, 16, 3, 1).make(Choice::Best, false, 1);
        assert!(!DepthFirst::fits(Some(&first), &depthwise, None), "another size");
        assert!(!DepthFirst::fits(None, &depthwise, Some(&last)), "another size");
    }
}
