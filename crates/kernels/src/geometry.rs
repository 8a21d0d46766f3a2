//! The shape of a convolution or pooling over one image in channels-last layout.

/// Sizes of a 2-D convolution or pooling over one image. Each pair is (vertical, horizontal).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Input height, width, channels.
    pub input: [usize; 3],
    /// Output height, width, channels.
    pub output: [usize; 3],
    /// Window height and width.
    pub kernel: [usize; 2],
    /// Steps between windows.
    pub stride: [usize; 2],
    /// Steps between the taps of a window.
    pub dilation: [usize; 2],
    /// Rows above and columns left of the input that count as padding. What lies below and right follows from `output`.
    pub padding: [usize; 2],
    /// Groups of channels that do not see each other; 1 for an ordinary convolution.
    pub groups: usize,
}

impl Geometry {
    /// A matrix product: `rows` vectors of `depth` elements become vectors of `columns`.
    pub fn matrix(rows: usize, depth: usize, columns: usize) -> Geometry {
        Geometry {
            input: [1, rows, depth],
            output: [1, rows, columns],
            kernel: [1, 1],
            stride: [1, 1],
            dilation: [1, 1],
            padding: [0, 0],
            groups: 1,
        }
    }

    /// Elements of one input image.
    pub fn input_len(&self) -> usize {
        self.input.iter().product()
    }

    /// Elements of one output image.
    pub fn output_len(&self) -> usize {
        self.output.iter().product()
    }

    /// Input row (`axis` 0) or column (`axis` 1) under tap `tap` of window `window`; `None` where it is padding.
    pub fn tap(&self, axis: usize, window: usize, tap: usize) -> Option<usize> {
        let at = (window * self.stride[axis] + tap * self.dilation[axis]).checked_sub(self.padding[axis])?;
        (at < self.input[axis]).then_some(at)
    }

    /// The taps of window `window` along an axis that are not padding, each with the input row or column under it.
    pub fn taps(&self, axis: usize, window: usize) -> impl ExactSizeIterator<Item = (usize, usize)> + Clone + use<> {
        let (at, dilation, padding) = (window * self.stride[axis], self.dilation[axis], self.padding[axis]);
        let first = padding.saturating_sub(at).div_ceil(dilation);
        let end = (self.input[axis] + padding).saturating_sub(at).div_ceil(dilation).min(self.kernel[axis]);
        (first..end).map(move |tap| (tap, at + tap * dilation - padding))
    }

    /// Whether each output pixel is a function of the input pixel at the same place: a plain matrix product over
    /// pixels.
    pub fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1]
            && self.stride == [1, 1]
            && self.padding == [0, 0]
            && self.groups == 1
            && self.input[..2] == self.output[..2]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_are_those_that_are_not_padding() {
        for (input, kernel, stride, dilation, padding) in
            [(5, 3, 1, 1, 1), (5, 3, 2, 1, 0), (5, 3, 1, 2, 2), (4, 7, 3, 1, 5), (2, 2, 1, 3, 3), (3, 1, 2, 1, 4)]
        {
            let geometry = Geometry {
                input: [input, 1, 1],
                output: [8, 1, 1],
                kernel: [kernel, 1],
                stride: [stride, 1],
                dilation: [dilation, 1],
                padding: [padding, 0],
                groups: 1,
            };
            for window in 0..8 {
                let expected = (0..kernel).filter_map(|tap| Some((tap, geometry.tap(0, window, tap)?)));
                assert!(geometry.taps(0, window).eq(expected), "window {window} of {geometry:?}");
            }
        }
    }
}
