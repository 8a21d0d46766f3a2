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

    /// Whether each output pixel is a function of the input pixel at the same place: a plain matrix product over pixels.
    pub fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1]
            && self.stride == [1, 1]
            && self.padding == [0, 0]
            && self.groups == 1
            && self.input[..2] == self.output[..2]
    }
}
