//! Memory for tensors: buffers aligned to a cache line, and an arena of which several parts can be read while others
//! are written, checked instead of trusted.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::marker::PhantomData;
use std::num::NonZero;
use std::ops::{Deref, DerefMut, Range};
use std::ptr::NonNull;

use bytemuck::Pod;

/// Alignment of every buffer, in bytes: a cache line, and the widest vector of any supported CPU.
pub const ALIGNMENT: usize = 64;

/// Where a buffer of no bytes begins: casts to other items ask for their alignment there, too.
const DANGLING: NonZero<usize> = NonZero::new(ALIGNMENT).unwrap();

/// A fixed-length buffer that begins on a cache line.
pub struct Aligned<T: Pod> {
    /// The allocation, which begins up to a cache line before the buffer; `None` for a buffer of no bytes.
    allocation: Option<NonNull<u8>>,
    start: NonNull<T>,
    len: usize,
}

/// A buffer of bytes that begins on a cache line.
pub type AlignedBytes = Aligned<u8>;

impl<T: Pod> Aligned<T> {
    /// A buffer of `len` zeros.
    ///
    /// # Panics
    /// When the size in bytes exceeds `isize::MAX`.
    pub fn zeroed(len: usize) -> Aligned<T> {
        if len == 0 || size_of::<T>() == 0 {
            return Aligned { allocation: None, start: NonNull::without_provenance(DANGLING), len };
        }
        let layout = Self::layout(len);
        // SAFETY: the size is not zero.
        let Some(allocation) = NonNull::new(unsafe { alloc_zeroed(layout) }) else { handle_alloc_error(layout) };
        let before = allocation.align_offset(ALIGNMENT);
        // SAFETY: the layout has room for an alignment's bytes before the buffer.
        let start = unsafe { allocation.add(before) }.cast::<T>();
        Aligned { allocation: Some(allocation), start, len }
    }

    /// Room for the buffer wherever its first cache line begins. The allocation's own alignment is small, because only
    /// then does the system's allocator hand out memory that is zero already, untouched until it is used.
    fn layout(len: usize) -> Layout {
        let bytes = len.checked_mul(size_of::<T>()).and_then(|bytes| bytes.checked_add(ALIGNMENT));
        let layout = bytes.and_then(|bytes| Layout::from_size_align(bytes, align_of::<T>()).ok());
        layout.expect("a buffer fits the address space")
    }
}

impl<T: Pod> Drop for Aligned<T> {
    fn drop(&mut self) {
        if let Some(allocation) = self.allocation {
            // SAFETY: `zeroed` allocated it with this very layout.
            unsafe { dealloc(allocation.as_ptr(), Self::layout(self.len)) };
        }
    }
}

impl<T: Pod> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: `start` points to `len` initialized items that this value owns (or dangles, with 0 bytes); all bit
        // patterns of a `Pod` are valid.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T: Pod> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as for `deref`; the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl<T: Pod> Clone for Aligned<T> {
    fn clone(&self) -> Aligned<T> {
        Aligned::from(&**self)
    }
}

impl<T: Pod> From<&[T]> for Aligned<T> {
    fn from(items: &[T]) -> Aligned<T> {
        let mut copy = Aligned::zeroed(items.len());
        copy.copy_from_slice(items);
        copy
    }
}

impl<T: Pod + std::fmt::Debug> std::fmt::Debug for Aligned<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (**self).fmt(f)
    }
}

// SAFETY: an `Aligned` owns its items as a `Vec` does.
unsafe impl<T: Pod + Send> Send for Aligned<T> {}
// SAFETY: as above.
unsafe impl<T: Pod + Sync> Sync for Aligned<T> {}

/// Asks for the cache line at `place` to be fetched, for reading soon. Any address will do.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn prefetch<T>(place: *const T) {
    #[cfg(not(miri))]
    // SAFETY: a hint, which never faults.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(place.cast());
    }
    #[cfg(miri)]
    let _ = place;
}

/// As [`prefetch`], for writing.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn prefetch_to_write<T>(place: *mut T) {
    #[cfg(not(miri))]
    // SAFETY: a hint, which never faults.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_ET0 }>(place.cast());
    }
    #[cfg(miri)]
    let _ = place;
}

/// One buffer in which all tensors of a model lie, at offsets that a plan has laid out by when they are needed.
#[derive(Clone, Debug)]
pub struct Arena {
    bytes: AlignedBytes,
}

impl Arena {
    /// An arena of `len` zero bytes.
    pub fn new(len: usize) -> Arena {
        Arena { bytes: AlignedBytes::zeroed(len) }
    }

    /// Its size in bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes of `range`, to read.
    ///
    /// # Panics
    /// When the range is not inside the arena.
    pub fn get(&self, range: Range<usize>) -> &[u8] {
        &self.bytes[range]
    }

    /// The bytes of `range`, to write.
    ///
    /// # Panics
    /// When the range is not inside the arena.
    pub fn get_mut(&mut self, range: Range<usize>) -> &mut [u8] {
        &mut self.bytes[range]
    }

    /// Mutable slices of the ranges `writes`, and a reader of the rest: an operator's outputs and scratch, and its
    /// inputs.
    ///
    /// # Panics
    /// When a range is not inside the arena or overlaps another.
    pub fn split<const W: usize>(&mut self, writes: [Range<usize>; W]) -> ([&mut [u8]; W], Reader<'_, W>) {
        let len = self.bytes.len();
        for (i, range) in writes.iter().enumerate() {
            assert_inside(range, len);
            writes[..i].iter().for_each(|other| assert_apart(range, other));
        }
        let start = self.bytes.start;
        let slices = writes.each_ref().map(|range| {
            // SAFETY: the range is inside the arena, which stays borrowed mutably as long as the slices live. It
            // overlaps no other range of `writes`, and the reader gives out nothing that overlaps one.
            unsafe { std::slice::from_raw_parts_mut(start.add(range.start).as_ptr(), range.len()) }
        });
        (slices, Reader { start, len, writes, arena: PhantomData })
    }
}

/// Reads what [`Arena::split`] did not lend for writing.
#[derive(Debug)]
pub struct Reader<'a, const W: usize> {
    start: NonNull<u8>,
    len: usize,
    writes: [Range<usize>; W],
    arena: PhantomData<&'a [u8]>,
}

impl<'a, const W: usize> Reader<'a, W> {
    /// The bytes of `range`.
    ///
    /// # Panics
    /// When the range is not inside the arena, or overlaps one that is lent for writing.
    pub fn get(&self, range: Range<usize>) -> &'a [u8] {
        assert_inside(&range, self.len);
        self.writes.iter().for_each(|write| assert_apart(&range, write));
        // SAFETY: the range is inside the arena, borrowed for `'a`, and overlaps none of the mutable slices.
        unsafe { std::slice::from_raw_parts(self.start.add(range.start).as_ptr(), range.len()) }
    }
}

// SAFETY: a reader only gives out shared slices of plain bytes.
unsafe impl<const W: usize> Send for Reader<'_, W> {}
// SAFETY: as above.
unsafe impl<const W: usize> Sync for Reader<'_, W> {}

fn assert_inside(range: &Range<usize>, len: usize) {
    assert!(range.start <= range.end && range.end <= len, "{range:?} is not inside an arena of {len} bytes");
}

fn assert_apart(a: &Range<usize>, b: &Range<usize>) {
    let apart = a.is_empty() || b.is_empty() || a.end <= b.start || b.end <= a.start;
    assert!(apart, "{a:?} overlaps {b:?}, and one of them is written");
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "an array of one range is meant")]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_and_zeroed() {
        for len in [0, 1, 63, 64, 65, 1000] {
            let mut buffer = Aligned::<i32>::zeroed(len);
            assert_eq!(buffer.len(), len);
            assert!(buffer.as_ptr().addr().is_multiple_of(ALIGNMENT));
            assert!(buffer.iter().all(|&item| item == 0));
            buffer.fill(7);
            assert_eq!(&*buffer.clone(), &vec![7; len][..]);
        }
    }

    #[test]
    fn an_arena_is_read_and_written_at_once() {
        let mut arena = Arena::new(16);
        arena.get_mut(0..4).copy_from_slice(&[1, 2, 3, 4]);
        {
            let ([a, b], reader) = arena.split([4..6, 10..12]);
            a.copy_from_slice(&reader.get(0..4)[1..3]);
            b.copy_from_slice(reader.get(2..4));
            assert_eq!(reader.get(3..4), [4]);
            assert_eq!(reader.get(5..5), [0; 0]);
        }
        assert_eq!(arena.get(0..12), [1, 2, 3, 4, 2, 3, 0, 0, 0, 0, 3, 4]);
    }

    #[test]
    #[should_panic(expected = "overlaps")]
    fn writes_must_not_overlap() {
        Arena::new(16).split([0..8, 7..9]);
    }

    #[test]
    #[should_panic(expected = "overlaps")]
    fn reads_must_not_overlap_writes() {
        Arena::new(16).split([4..8]).1.get(0..5);
    }

    #[test]
    #[should_panic(expected = "not inside")]
    fn reads_must_be_inside() {
        Arena::new(16).split([4..8]).1.get(15..17);
    }

    #[test]
    #[should_panic(expected = "not inside")]
    fn a_reversed_range_is_refused() {
        let (start, end) = (5, 3);
        Arena::new(16).split([start..end]);
    }
}
