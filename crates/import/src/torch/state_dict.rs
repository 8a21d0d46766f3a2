//! Named tensors as they lie in a file, not copied before they are wanted.

use std::collections::BTreeMap;

use half::{bf16, f16};
use kinglet_graph::checked_len;

/// The parameters of a model, by name.
pub(super) type StateDict<'a> = BTreeMap<String, StoredTensor<'a>>;

/// What wrappers put before every name: `nn.DataParallel`, `torch.compile`, training frameworks.
const PREFIXES: [&str; 3] = ["module.", "_orig_mod.", "model."];

/// Takes off what wrappers put before every name.
pub(super) fn without_prefixes(mut tensors: StateDict<'_>) -> StateDict<'_> {
    while let Some(prefix) = PREFIXES.iter().find(|prefix| tensors.keys().all(|name| name.starts_with(*prefix)))
        && !tensors.is_empty()
    {
        tensors = tensors.into_iter().map(|(name, tensor)| (name[prefix.len()..].to_owned(), tensor)).collect();
    }
    tensors
}

/// The types of elements that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    F64,
    F32,
    F16,
    BF16,
    I64,
    I32,
    I16,
    I8,
    U8,
}

impl Element {
    /// Bytes an element.
    pub(super) fn size(self) -> usize {
        match self {
            Element::F64 | Element::I64 => 8,
            Element::F32 | Element::I32 => 4,
            Element::F16 | Element::BF16 | Element::I16 => 2,
            Element::I8 | Element::U8 => 1,
        }
    }

    /// The element at the start of these bytes, of which there are [`Element::size`]; doubles and long integers are
    /// rounded.
    fn read(self, bytes: &[u8]) -> f32 {
        fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
            *bytes.first_chunk().expect("an element has its size")
        }
        match self {
            Element::F64 => f64::from_le_bytes(array(bytes)) as f32,
            Element::F32 => f32::from_le_bytes(array(bytes)),
            Element::F16 => f16::from_le_bytes(array(bytes)).to_f32(),
            Element::BF16 => bf16::from_le_bytes(array(bytes)).to_f32(),
            Element::I64 => i64::from_le_bytes(array(bytes)) as f32,
            Element::I32 => i32::from_le_bytes(array(bytes)) as f32,
            Element::I16 => i16::from_le_bytes(array(bytes)).into(),
            Element::I8 => f32::from(bytes[0] as i8),
            Element::U8 => bytes[0].into(),
        }
    }
}

/// A tensor in a file: element (i, j, …) is that of number `i · strides[0] + j · strides[1] + …` of `bytes`.
#[derive(Clone, Debug)]
pub(super) struct StoredTensor<'a> {
    element: Element,
    shape: Vec<usize>,
    strides: Vec<usize>,
    /// From the first element on.
    bytes: &'a [u8],
}

impl<'a> StoredTensor<'a> {
    /// Checks that all elements lie in the storage.
    pub(super) fn new(
        element: Element,
        shape: Vec<usize>,
        strides: Vec<usize>,
        offset: usize,
        storage: &'a [u8],
    ) -> Result<StoredTensor<'a>, String> {
        if strides.len() != shape.len() || checked_len(&shape).is_none() {
            return Err(format!("the shape {shape:?} with strides {strides:?} is none that a tensor has"));
        }
        let reach = |last: usize, (size, stride): (&usize, &usize)| last.checked_add((size - 1).checked_mul(*stride)?);
        let extent = match shape.contains(&0) {
            true => Some(0),
            false => shape.iter().zip(&strides).try_fold(0, reach).and_then(|last: usize| last.checked_add(1)),
        };
        let start = offset.checked_mul(element.size());
        let bytes = start.and_then(|start| storage.get(start..));
        match (bytes, extent.and_then(|extent| extent.checked_mul(element.size()))) {
            (Some(bytes), Some(extent)) if extent <= bytes.len() => {
                Ok(StoredTensor { element, shape, strides, bytes: &bytes[..extent] })
            }
            _ => Err(format!("{shape:?} elements from {offset} on do not lie in a storage of {} bytes", storage.len())),
        }
    }

    /// A tensor whose elements lie one behind the other.
    pub(super) fn contiguous(element: Element, shape: Vec<usize>, bytes: &'a [u8]) -> Result<StoredTensor<'a>, String> {
        let mut strides = vec![1usize; shape.len()];
        for axis in (1..shape.len()).rev() {
            strides[axis - 1] = strides[axis].saturating_mul(shape[axis]);
        }
        StoredTensor::new(element, shape, strides, 0, bytes)
    }

    /// Sizes, outermost first.
    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The same elements, with axis i that was axis `axes[i]`: a permutation.
    pub(super) fn permuted(&self, axes: &[usize]) -> StoredTensor<'a> {
        let pick = |sizes: &[usize]| axes.iter().map(|axis| sizes[*axis]).collect();
        StoredTensor { shape: pick(&self.shape), strides: pick(&self.strides), ..*self }
    }

    /// The elements in row-major order.
    pub(super) fn to_f32(&self) -> Vec<f32> {
        let mut values = Vec::with_capacity(self.shape.iter().product());
        if !self.shape.contains(&0) {
            self.collect(0, 0, &mut values);
        }
        values
    }

    /// The elements of the part whose indices before `axis` are fixed: its first one has the number `start`.
    fn collect(&self, axis: usize, start: usize, values: &mut Vec<f32>) {
        let size = self.element.size();
        match (self.shape.get(axis..), self.strides.get(axis..)) {
            (Some(&[count]), Some(&[stride])) => {
                values.extend((0..count).map(|index| self.element.read(&self.bytes[(start + index * stride) * size..])))
            }
            (Some(&[count, ..]), Some(&[stride, ..])) => {
                (0..count).for_each(|index| self.collect(axis + 1, start + index * stride, values));
            }
            _ => values.push(self.element.read(self.bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn storage(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    #[test]
    fn strides_and_offsets_are_followed() {
        let bytes = storage(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        // x = torch.arange(8.); x[1:7].view(2, 3).t(), x[7], x[2].expand(2, 2), x[2::3]
        for (shape, strides, offset, expected) in [
            (vec![3, 2], vec![1, 3], 1, vec![1.0, 4.0, 2.0, 5.0, 3.0, 6.0]),
            (vec![], vec![], 7, vec![7.0]),
            (vec![2, 2], vec![0, 0], 2, vec![2.0; 4]),
            (vec![2], vec![3], 2, vec![2.0, 5.0]),
            (vec![0, 5], vec![5, 1], 8, vec![]),
        ] {
            let tensor = StoredTensor::new(Element::F32, shape, strides, offset, &bytes).unwrap();
            assert_eq!(tensor.to_f32(), expected);
        }
        let tensor = StoredTensor::contiguous(Element::F32, vec![2, 2, 2], &bytes).unwrap();
        assert_eq!(tensor.permuted(&[2, 0, 1]).to_f32(), [0.0, 2.0, 4.0, 6.0, 1.0, 3.0, 5.0, 7.0]);
    }

    #[test]
    fn every_type_widens() {
        for (element, bytes, expected) in [
            (Element::F64, &2.5f64.to_le_bytes()[..], 2.5),
            (Element::F32, &(-0.75f32).to_le_bytes(), -0.75),
            (Element::F16, &[0x00, 0xc1], -2.5),
            (Element::BF16, &[0x20, 0x40], 2.5),
            (Element::I64, &(-3i64).to_le_bytes(), -3.0),
            (Element::I32, &70_000i32.to_le_bytes(), 70_000.0),
            (Element::I16, &[0xff, 0x7f], 32_767.0),
            (Element::I8, &[0x80], -128.0),
            (Element::U8, &[0x80], 128.0),
        ] {
            assert_eq!(StoredTensor::contiguous(element, vec![1], bytes).unwrap().to_f32(), [expected], "{element:?}");
        }
    }

    #[test]
    fn what_lies_outside_is_refused() {
        let bytes = storage(&[0.0; 8]);
        for (shape, strides, offset) in [
            (vec![9], vec![1], 0),
            (vec![8], vec![1], 1),
            (vec![2, 2], vec![7, 1], 0),
            (vec![3], vec![usize::MAX], 0),
            (vec![1], vec![1], usize::MAX),
            (vec![1 << 31], vec![0], 0),
            (vec![2], vec![1, 1], 0),
        ] {
            assert!(StoredTensor::new(Element::F32, shape.clone(), strides, offset, &bytes).is_err(), "{shape:?}");
        }
    }

    #[test]
    fn prefixes_that_all_have_are_taken_off() {
        let tensor = || StoredTensor::contiguous(Element::U8, vec![], &[1]).unwrap();
        let names = |names: &[&str]| {
            let tensors = names.iter().map(|name| ((*name).to_owned(), tensor())).collect();
            without_prefixes(tensors).into_keys().collect::<Vec<_>>()
        };
        assert_eq!(names(&["module._orig_mod.a", "module._orig_mod.b.c"]), ["a", "b.c"]);
        assert_eq!(names(&["module.a", "b"]), ["b", "module.a"]);
        assert!(names(&[]).is_empty());
    }
}
