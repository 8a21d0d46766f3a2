//! NumPy's `.npy` files, versions 1 to 3, to and from tensors.
//!
//! The format: the magic `\x93NUMPY`, a major and a minor version byte, the header's length (2 bytes little-endian in
//! version 1, 4 in later ones), the header, which is a Python dictionary `{'descr': '<f4', 'fortran_order': False,
//! 'shape': (1, 3)}`, then the elements (NumPy documentation, `numpy.lib.format`).

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use kinglet::graph::{Data, TensorRef, ViewMut};
use kinglet::{DType, Tensor};

const MAGIC: &[u8] = b"\x93NUMPY";
/// The longest header that is read. One for 32 axes is shorter than a kilobyte.
const LONGEST_HEADER: usize = 1 << 16;

/// NumPy's own element types, with its codes of them.
const KINDS: [(&str, DType); 12] = [
    ("f4", DType::F32),
    ("f2", DType::F16),
    ("f8", DType::F64),
    ("i1", DType::I8),
    ("u1", DType::U8),
    ("b1", DType::Bool),
    ("i2", DType::I16),
    ("u2", DType::U16),
    ("i4", DType::I32),
    ("u4", DType::U32),
    ("i8", DType::I64),
    ("u8", DType::U64),
];

/// The type that elements of a type have in a file: their own, or where NumPy has none like it, the smallest of its
/// types that holds their values.
pub fn stored_type(dtype: DType) -> DType {
    match dtype {
        own if KINDS.iter().any(|(_, known)| *known == own) => own,
        DType::I4 | DType::I2 => DType::I8,
        DType::U4 | DType::U2 => DType::U8,
        _ => DType::F32,
    }
}

/// An array in a file whose header was read: its type and shape can be checked before its elements take memory.
#[derive(Debug)]
pub struct Array<R> {
    header: Header,
    /// Bytes that the whole file has.
    available: u64,
    file: R,
}

impl Array<File> {
    /// Opens a file.
    pub fn open(path: &Path) -> Result<Array<File>> {
        let file = File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => anyhow!("no such file; write one with numpy.save"),
            _ => error.into(),
        })?;
        let available = file.metadata()?.len();
        Array::new(file, available)
    }
}

impl<R: Read> Array<R> {
    fn new(mut file: R, available: u64) -> Result<Array<R>> {
        Ok(Array { header: read_header(&mut file)?, available, file })
    }

    /// The type of its elements.
    pub fn dtype(&self) -> DType {
        self.header.dtype
    }

    /// Its sizes, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.header.shape
    }

    /// Reads its elements.
    pub fn read(mut self) -> Result<Tensor> {
        let Header { dtype, swapped, shape } = self.header;
        let length = shape.iter().try_fold(1usize, |length, &size| length.checked_mul(size));
        let bytes = length.and_then(|length| length.checked_mul(dtype.size()));
        let Some(bytes) = bytes.filter(|&bytes| bytes as u64 <= self.available) else {
            bail!("cut short: {} bytes cannot hold an array of shape {shape:?} and type {dtype}", self.available);
        };
        let mut data = Data::zeroed(dtype, bytes / dtype.size());
        let mut view = data.view_mut();
        self.file.read_exact(view.bytes_mut()).map_err(|error| cut_short(error, "its array"))?;
        ensure!(self.file.read(&mut [0])? == 0, "damaged: there is more in the file than its header speaks of");
        if swapped {
            swap_bytes(&mut view);
        }
        Ok(Tensor::new(shape, data)?)
    }
}

/// Writes a tensor in this machine's byte order, its elements as [`stored_type`] says.
pub fn write(path: &Path, tensor: TensorRef<'_>) -> Result<()> {
    let dtype = stored_type(tensor.ty.dtype);
    let write = || -> io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        file.write_all(&header(dtype, &tensor.ty.shape))?;
        if dtype == tensor.ty.dtype {
            file.write_all(tensor.view.bytes())?;
        } else {
            file.write_all(Data::from_f64(dtype, &tensor.view.to_f64()).view().bytes())?;
        }
        file.flush()
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// What a header says.
#[derive(Debug, PartialEq)]
struct Header {
    dtype: DType,
    /// Whether the elements are in the other byte order than this machine's.
    swapped: bool,
    shape: Vec<usize>,
}

fn read_header(file: &mut impl Read) -> Result<Header> {
    let mut start = [0; 8];
    let got = read_up_to(file, &mut start)?;
    ensure!(start[..got].starts_with(MAGIC), "this is no NumPy file; write one with numpy.save");
    let mut length = [0; 4];
    let width = match start[6] {
        1 => 2,
        2 | 3 => 4,
        version => bail!("version {version} of NumPy's format is not supported; 1, 2 and 3 are"),
    };
    file.read_exact(&mut length[..width]).map_err(|error| cut_short(error, "its header"))?;
    let length = u32::from_le_bytes(length) as usize;
    ensure!(length <= LONGEST_HEADER, "damaged: a header of {length} bytes");
    let mut text = vec![0; length];
    file.read_exact(&mut text).map_err(|error| cut_short(error, "its header"))?;
    parse_header(&String::from_utf8_lossy(&text))
}

fn read_up_to(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match file.read(&mut buffer[got..]) {
            Ok(0) => break,
            Ok(read) => got += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}

fn cut_short(error: io::Error, what: &str) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => anyhow!("cut short: the file ends before {what} does"),
        _ => error.into(),
    }
}

fn parse_header(text: &str) -> Result<Header> {
    let damaged = || anyhow!("damaged: its header is {text:?}");
    let value = |key: &str| {
        let quoted = [format!("'{key}'"), format!("\"{key}\"")];
        let start = quoted.iter().find_map(|quoted| Some(text.find(quoted.as_str())? + quoted.len()));
        start.and_then(|start| text[start..].trim_start().strip_prefix(':')).map(str::trim_start).ok_or_else(damaged)
    };
    let order = value("fortran_order")?;
    if order.starts_with("True") {
        bail!("the array is in Fortran order; save numpy.ascontiguousarray(array) instead");
    }
    ensure!(order.starts_with("False"), damaged());
    let descr = value("descr")?;
    ensure!(!descr.starts_with('['), "the array is one of records; save each field as an array of its own");
    let quote = descr.chars().next().filter(|c| matches!(c, '\'' | '"')).ok_or_else(damaged)?;
    let descr = descr[1..].split(quote).next().unwrap_or_default();
    let (dtype, swapped) = parse_type(descr)?;
    let shape = value("shape")?.strip_prefix('(').and_then(|rest| rest.split_once(')')).ok_or_else(damaged)?.0;
    let sizes = shape.split(',').map(str::trim).filter(|size| !size.is_empty());
    let shape = sizes.map(|size| size.parse().map_err(|_| damaged())).collect::<Result<_>>()?;
    Ok(Header { dtype, swapped, shape })
}

fn parse_type(descr: &str) -> Result<(DType, bool)> {
    let (order, kind) = descr.split_at_checked(1).unwrap_or_default();
    let Some((_, dtype)) = KINDS.iter().find(|(known, _)| *known == kind) else {
        let names: Vec<&str> = KINDS.iter().map(|(_, dtype)| dtype.name()).collect();
        bail!("arrays of type {descr:?} are not supported; {} are", names.join(", "));
    };
    match order {
        "<" => Ok((*dtype, cfg!(target_endian = "big"))),
        ">" => Ok((*dtype, cfg!(target_endian = "little"))),
        "|" | "=" => Ok((*dtype, false)),
        _ => bail!("byte order {order:?} is not known"),
    }
}

fn swap_bytes(view: &mut ViewMut<'_>) {
    let size = view.dtype().size();
    view.bytes_mut().chunks_exact_mut(size).for_each(<[u8]>::reverse);
}

/// Magic, version and header; padded so that the elements begin at a multiple of 64 bytes, as the format asks.
fn header(dtype: DType, shape: &[usize]) -> Vec<u8> {
    let kind = KINDS.iter().find(|(_, known)| *known == dtype).map(|(kind, _)| kind).expect("a type that NumPy has");
    let order = match (dtype.size(), cfg!(target_endian = "little")) {
        (1, _) => '|',
        (_, true) => '<',
        (_, false) => '>',
    };
    let sizes: String = shape.iter().map(|size| format!("{size}, ")).collect();
    let sizes = if shape.len() == 1 { sizes.trim_end() } else { sizes.trim_end_matches(", ") };
    let mut text = format!("{{'descr': '{order}{kind}', 'fortran_order': False, 'shape': ({sizes}), }}");
    let start = MAGIC.len() + 2 + 2;
    let padding = (start + text.len() + 1).next_multiple_of(64) - (start + text.len() + 1);
    text.extend(std::iter::repeat_n(' ', padding));
    text.push('\n');
    // A header for 32 axes of 20 digits has 700 bytes, so that version 1 always does.
    let length = u16::try_from(text.len()).expect("a shape has few axes");
    [MAGIC, &[1, 0], &length.to_le_bytes(), text.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use kinglet::graph::element::Bool;

    use super::*;

    fn file(version: u8, header: &str, data: &[u8]) -> Vec<u8> {
        let length = header.len() as u32;
        let length = if version == 1 { length.to_le_bytes()[..2].to_vec() } else { length.to_le_bytes().to_vec() };
        [MAGIC, &[version, 0], &length, header.as_bytes(), data].concat()
    }

    fn read(bytes: &[u8]) -> Result<Tensor> {
        Array::new(bytes, bytes.len() as u64)?.read()
    }

    #[test]
    fn what_is_written_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.npy");
        for tensor in [
            Tensor::new([2, 3], vec![1.5f32, -0.0, f32::MAX, 1e-40, 7.0, 3.25]).unwrap(),
            Tensor::new([4], vec![-128i8, 0, 1, 127]).unwrap(),
            Tensor::new([1, 2, 1], vec![0u8, 255]).unwrap(),
            Tensor::new([], vec![i64::MIN]).unwrap(),
            Tensor::new([0, 5], Vec::<i32>::new()).unwrap(),
            Tensor::new([2], vec![f64::MIN_POSITIVE, -1e300]).unwrap(),
            Tensor::new([2], vec![Bool::from(true), Bool::from(false)]).unwrap(),
            Tensor::new([2, 1], vec![u16::MAX, 1]).unwrap(),
        ] {
            write(&path, tensor.as_ref()).unwrap();
            assert_eq!(Array::open(&path).unwrap().read().unwrap(), tensor);
            let bytes = std::fs::read(&path).unwrap();
            assert_eq!((bytes.len() - tensor.ty().bytes()) % 64, 0, "elements are aligned");
        }
    }

    #[test]
    fn types_that_numpy_has_not_are_widened() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.npy");
        for (dtype, stored) in [(DType::BF16, DType::F32), (DType::F8E5M2, DType::F32), (DType::I4, DType::I8)] {
            let tensor = Tensor::new([3], Data::from_f64(dtype, &[-2.0, 0.0, 1.0])).unwrap();
            write(&path, tensor.as_ref()).unwrap();
            let read = Array::open(&path).unwrap().read().unwrap();
            assert_eq!(read, Tensor::new([3], Data::from_f64(stored, &[-2.0, 0.0, 1.0])).unwrap());
        }
    }

    #[test]
    fn headers_are_numpys() {
        // What numpy.save writes for these.
        for (dtype, shape, text) in [
            (
                DType::F32,
                &[1, 224, 224, 3][..],
                "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 224, 224, 3), }",
            ),
            (DType::I8, &[7], "{'descr': '|i1', 'fortran_order': False, 'shape': (7,), }"),
            (DType::U8, &[], "{'descr': '|u1', 'fortran_order': False, 'shape': (), }"),
        ] {
            let header = header(dtype, shape);
            assert_eq!(&header[..8], b"\x93NUMPY\x01\0");
            assert_eq!(header.len() % 64, 0);
            assert_eq!(std::str::from_utf8(&header[10..]).unwrap().trim_end(), text);
        }
    }

    #[test]
    fn all_versions_and_both_byte_orders_are_read() {
        let big =
            file(2, "{'descr': '>i4', 'fortran_order': False, 'shape': (2,), }", &[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xfe]);
        assert_eq!(read(&big).unwrap(), Tensor::new([2], vec![1i32, -2]).unwrap());
        let other = file(3, "{\"shape\": (1, 2), \"fortran_order\": False, \"descr\": \"<f2\"}\n", &[0, 0x3c, 0, 0xc0]);
        let tensor = read(&other).unwrap();
        assert_eq!((tensor.shape(), tensor.data().dtype()), (&[1, 2][..], DType::F16));
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let head = |descr: &str, fortran: &str, shape: &str| {
            format!("{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}")
        };
        let ok = head("'<f4'", "False", "(2,)");
        for (bytes, problem) in [
            (b"P6 224 224 255\n".to_vec(), "no NumPy file"),
            (Vec::new(), "no NumPy file"),
            (b"\x93NUMPY".to_vec(), "version 0"),
            (b"\x93NUMPY\x01\0".to_vec(), "cut short"),
            (file(1, &ok, &[0; 8])[..40].to_vec(), "cut short"),
            (file(1, &ok, &[0; 7]), "cut short"),
            (file(1, &ok, &[0; 9]), "more in the file"),
            (file(9, &ok, &[0; 8]), "version 9"),
            (file(1, &head("'<f4'", "True", "(2,)"), &[0; 8]), "Fortran order"),
            (file(1, &head("'<c8'", "False", "(1,)"), &[0; 8]), "\"<c8\""),
            (file(1, &head("'|O'", "False", "(1,)"), &[0; 8]), "\"|O\""),
            (file(1, &head("''", "False", "(1,)"), &[0; 8]), "not supported"),
            (file(1, &head("[('a', '<f4')]", "False", "(1,)"), &[0; 8]), "records"),
            (file(1, &head("'<f4'", "False", "(99999999999999999999,)"), &[0; 8]), "damaged"),
            (file(1, &head("'<f4'", "False", "(4294967296, 4294967296)"), &[0; 8]), "cannot hold"),
            (file(1, &head("'<f4'", "False", "(1000000000,)"), &[0; 8]), "cannot hold"),
            (file(1, &head("'<f4'", "False", "(-1,)"), &[0; 8]), "damaged"),
            (file(1, "{}", &[]), "damaged"),
            (file(2, "", &[])[..10].iter().copied().chain([0xff; 2]).collect(), "damaged: a header of"),
            (file(1, "{'descr': '\u{e9}", &[]), "damaged"),
        ] {
            let message = format!("{:#}", read(&bytes).unwrap_err());
            assert!(message.contains(problem), "{message} should say {problem}");
        }
    }
}
