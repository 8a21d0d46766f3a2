//! Reads FlatBuffers from hostile bytes: every access is checked, nothing is verified in advance and nothing is copied.
//!
//! Why not a library: the accessors of the crate `flatbuffers` are unsafe functions over bytes that a verifier must
//! have walked first, and vectors of the crate `planus` ask generated code for unsafe functions; neither fits a crate
//! that forbids unsafe code and reads some thirty tables. The format is small. A file begins with the position of the
//! root table. A table begins with the distance back to its vtable, a list of `u16`: its own size, the table's size,
//! then, for each field, where in the table it lies, 0 meaning that it has its default. Strings, vectors and tables are
//! held by their distance forward from the field. (FlatBuffers internals, <https://flatbuffers.dev/internals>.)

use std::marker::PhantomData;

use crate::ImportError;

/// A number field of a table: its id in the schema, and the value of a field that is left out.
#[derive(Clone, Copy)]
pub struct Scalar<T> {
    id: usize,
    default: T,
}

/// A field that holds a string.
#[derive(Clone, Copy)]
pub struct Text(pub usize);

/// A field that holds a table.
#[derive(Clone, Copy)]
pub struct Child(pub usize);

/// A field that holds a vector of tables.
#[derive(Clone, Copy)]
pub struct Children(pub usize);

/// A field that holds a vector of numbers.
#[derive(Clone, Copy)]
pub struct Numbers<T>(pub usize, pub PhantomData<T>);

impl<T> Scalar<T> {
    /// A field whose default is not zero.
    pub const fn with_default(id: usize, default: T) -> Scalar<T> {
        Scalar { id, default }
    }
}

impl<T: Copy> Scalar<T> {
    /// The value where the field is left out.
    pub fn default(&self) -> T {
        self.default
    }
}

/// A number of fixed size, little-endian in the file.
pub trait Number: Copy {
    /// Bytes it takes.
    const SIZE: usize;

    /// The number in these `SIZE` bytes.
    fn from_bytes(bytes: &[u8]) -> Self;
}

macro_rules! numbers {
    ($($type:ty),*) => {$(
        impl Number for $type {
            const SIZE: usize = size_of::<$type>();

            fn from_bytes(bytes: &[u8]) -> $type {
                let mut array = [0; size_of::<$type>()];
                array.copy_from_slice(bytes);
                <$type>::from_le_bytes(array)
            }
        }
    )*};
}

numbers!(u8, i8, u16, i32, u32, i64, u64, f32);

impl Number for bool {
    const SIZE: usize = 1;

    fn from_bytes(bytes: &[u8]) -> bool {
        bytes != [0]
    }
}

/// A table somewhere in the file.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    file: &'a [u8],
    start: usize,
    /// The fields' places, two bytes each.
    places: &'a [u8],
}

impl<'a> Table<'a> {
    /// The table that a file begins with.
    pub fn root(file: &'a [u8]) -> Result<Table<'a>, ImportError> {
        Table::at(file, follow(file, 0)?)
    }

    fn at(file: &'a [u8], start: usize) -> Result<Table<'a>, ImportError> {
        let back = read::<i32>(file, start)?;
        let vtable = i64::try_from(start).ok().and_then(|start| start.checked_sub(i64::from(back)));
        let vtable = vtable.and_then(|at| usize::try_from(at).ok()).ok_or_else(|| outside(start))?;
        let size = usize::from(read::<u16>(file, vtable)?);
        let places = if size < 4 { None } else { slice(file, vtable, size).and_then(|vtable| vtable.get(4..)) };
        Ok(Table { file, start, places: places.ok_or_else(|| outside(vtable))? })
    }

    /// Where a field lies, if it is there.
    fn place(&self, id: usize) -> Result<Option<usize>, ImportError> {
        match slice(self.places, 2 * id, 2).map(u16::from_bytes) {
            None | Some(0) => Ok(None),
            Some(offset) => match self.start.checked_add(usize::from(offset)) {
                Some(place) => Ok(Some(place)),
                None => Err(outside(self.start)),
            },
        }
    }

    /// A number.
    pub fn get<T: Number>(&self, field: Scalar<T>) -> Result<T, ImportError> {
        self.place(field.id)?.map_or(Ok(field.default), |place| read(self.file, place))
    }

    /// A string's bytes, which need not be UTF-8; empty where it is left out.
    pub fn text(&self, field: Text) -> Result<&'a [u8], ImportError> {
        Ok(self.numbers::<u8>(Numbers(field.0, PhantomData))?.bytes)
    }

    /// A table.
    pub fn child(&self, field: Child) -> Result<Option<Table<'a>>, ImportError> {
        match self.place(field.0)? {
            None => Ok(None),
            Some(place) => Table::at(self.file, follow(self.file, place)?).map(Some),
        }
    }

    /// A vector of numbers; empty where it is left out.
    pub fn numbers<T: Number>(&self, field: Numbers<T>) -> Result<Vector<'a, T>, ImportError> {
        let (_, bytes) = self.vector(field.0, T::SIZE)?;
        Ok(Vector { bytes, number: PhantomData })
    }

    /// A vector of tables; empty where it is left out.
    pub fn children(&self, field: Children) -> Result<Tables<'a>, ImportError> {
        let (start, distances) = self.vector(field.0, 4)?;
        Ok(Tables { file: self.file, start, len: distances.len() / 4 })
    }

    /// Where the elements of a vector begin, and their bytes.
    fn vector(&self, id: usize, element: usize) -> Result<(usize, &'a [u8]), ImportError> {
        let Some(place) = self.place(id)? else { return Ok((0, &[])) };
        let at = follow(self.file, place)?;
        let len = read::<u32>(self.file, at)?;
        let bytes = usize::try_from(len).ok().and_then(|len| len.checked_mul(element));
        let bytes = bytes.and_then(|bytes| slice(self.file, at + 4, bytes));
        Ok((at + 4, bytes.ok_or_else(|| outside(at))?))
    }
}

/// A vector of numbers.
#[derive(Clone, Copy, Debug)]
pub struct Vector<'a, T> {
    bytes: &'a [u8],
    number: PhantomData<T>,
}

impl<'a, T: Number + 'a> Vector<'a, T> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.bytes.len() / T::SIZE
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The number at this index; `None` beyond the last.
    pub fn get(&self, index: usize) -> Option<T> {
        index.checked_mul(T::SIZE).and_then(|at| slice(self.bytes, at, T::SIZE)).map(T::from_bytes)
    }

    /// The numbers, one after another.
    pub fn iter(&self) -> impl Iterator<Item = T> + 'a {
        self.bytes.chunks_exact(T::SIZE).map(T::from_bytes)
    }

    /// The numbers as they lie in the file.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// A vector of tables.
#[derive(Clone, Copy, Debug)]
pub struct Tables<'a> {
    file: &'a [u8],
    start: usize,
    len: usize,
}

impl<'a> Tables<'a> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The table at this index; `None` beyond the last.
    pub fn get(&self, index: usize) -> Result<Option<Table<'a>>, ImportError> {
        if index >= self.len {
            return Ok(None);
        }
        Table::at(self.file, follow(self.file, self.start + 4 * index)?).map(Some)
    }

    /// The tables, one after another.
    pub fn iter(self) -> impl Iterator<Item = Result<Table<'a>, ImportError>> {
        (0..self.len).map(move |index| Table::at(self.file, follow(self.file, self.start + 4 * index)?))
    }
}

fn slice(file: &[u8], start: usize, len: usize) -> Option<&[u8]> {
    file.get(start..start.checked_add(len)?)
}

fn read<T: Number>(file: &[u8], place: usize) -> Result<T, ImportError> {
    slice(file, place, T::SIZE).map(T::from_bytes).ok_or_else(|| outside(place))
}

/// The place that the distance stored at `place` leads to.
fn follow(file: &[u8], place: usize) -> Result<usize, ImportError> {
    let distance = read::<u32>(file, place)?;
    let target = usize::try_from(distance).ok().and_then(|distance| place.checked_add(distance));
    target.filter(|&target| target < file.len()).ok_or_else(|| outside(place))
}

fn outside(place: usize) -> ImportError {
    ImportError::Damaged(format!("what byte {place} refers to does not lie within the file"))
}
