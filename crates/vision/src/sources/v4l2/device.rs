//! A V4L2 device node and its stream: the only code here that speaks to the kernel directly, and the only `unsafe` of
//! this crate. What it hands out is safe: buffers can be looked at only while the driver has no part in them.
#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io;
use std::marker::PhantomData;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::ptr::NonNull;
use std::time::Duration;

use bytemuck::Zeroable;

use super::abi::{self, Buffer, Capability, FormatDescription, Fraction, FrameInterval, FrameSize, PixelFormatAbi};

/// Types that the kernel may fill with any bytes: the structures of [`abi`], which hold integers alone.
trait Argument: Zeroable + Copy {}
impl Argument for Capability {}
impl Argument for FormatDescription {}
impl Argument for abi::Format {}
impl Argument for abi::RequestBuffers {}
impl Argument for Buffer {}
impl Argument for abi::StreamParameters {}
impl Argument for FrameSize {}
impl Argument for FrameInterval {}
impl Argument for u32 {}

/// An open device node.
#[derive(Debug)]
pub(super) struct Device {
    file: File,
}

impl Device {
    pub(super) fn open(path: &Path) -> io::Result<Device> {
        let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path)?;
        Ok(Device { file })
    }

    /// One request to the driver, again when a signal interrupted it.
    fn request<T: Argument>(&self, request: u32, argument: &mut T) -> io::Result<()> {
        debug_assert_eq!((request >> 16) as usize & 0x3FFF, size_of::<T>(), "the number says how long the argument is");
        loop {
            // SAFETY: the file is open; `argument` is a live, writable T, and the request's number was computed from
            // the size of that very type, so the kernel touches no byte beyond it. T takes any bytes (see `Argument`).
            let result = unsafe { libc::ioctl(self.file.as_raw_fd(), request as libc::Ioctl, &raw mut *argument) };
            if result != -1 {
                return Ok(());
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }

    pub(super) fn capability(&self) -> io::Result<Capability> {
        let mut capability = Capability::zeroed();
        self.request(abi::QUERYCAP, &mut capability)?;
        Ok(capability)
    }

    /// The formats that the driver lists.
    pub(super) fn formats(&self) -> Vec<FormatDescription> {
        self.list(|index| {
            let mut format = FormatDescription { index, kind: abi::CAPTURE, ..Zeroable::zeroed() };
            self.request(abi::ENUM_FMT, &mut format).map(|()| format)
        })
    }

    /// The sizes that the driver lists for a format.
    pub(super) fn frame_sizes(&self, pixel_format: u32) -> Vec<FrameSize> {
        self.list(|index| {
            let mut size = FrameSize { index, pixel_format, ..Zeroable::zeroed() };
            self.request(abi::ENUM_FRAMESIZES, &mut size).map(|()| size)
        })
    }

    /// The frame intervals that the driver lists for a format and size.
    pub(super) fn frame_intervals(&self, pixel_format: u32, width: u32, height: u32) -> Vec<FrameInterval> {
        self.list(|index| {
            let mut interval = FrameInterval { index, pixel_format, width, height, ..Zeroable::zeroed() };
            self.request(abi::ENUM_FRAMEINTERVALS, &mut interval).map(|()| interval)
        })
    }

    /// Asks for entries until the driver has no more; a driver that never says so is not believed for ever.
    fn list<T>(&self, entry: impl Fn(u32) -> io::Result<T>) -> Vec<T> {
        (0..256).map_while(|index| entry(index).ok()).collect()
    }

    /// Asks for a format; gives the one that the driver took instead.
    pub(super) fn set_format(&self, pixels: PixelFormatAbi) -> io::Result<PixelFormatAbi> {
        let mut format = abi::Format { kind: abi::CAPTURE, pixels, ..Zeroable::zeroed() };
        self.request(abi::S_FMT, &mut format)?;
        Ok(format.pixels)
    }

    /// Asks for a time per frame; gives the one that the driver took, where it can tell.
    pub(super) fn set_interval(&self, interval: Fraction) -> Option<Fraction> {
        let mut parameters = abi::StreamParameters { kind: abi::CAPTURE, ..Zeroable::zeroed() };
        self.request(abi::G_PARM, &mut parameters).ok()?;
        if parameters.capability & abi::CAP_TIME_PER_FRAME != 0 {
            parameters.time_per_frame = interval;
            self.request(abi::S_PARM, &mut parameters).ok()?;
        }
        let Fraction { numerator, denominator } = parameters.time_per_frame;
        (numerator > 0 && denominator > 0).then_some(parameters.time_per_frame)
    }

    /// Begins to capture into about `count` buffers.
    pub(super) fn start(self, count: u32) -> io::Result<Stream> {
        let mut wanted =
            abi::RequestBuffers { count, kind: abi::CAPTURE, memory: abi::MEMORY_MMAP, ..Zeroable::zeroed() };
        self.request(abi::REQBUFS, &mut wanted)?;
        if wanted.count == 0 {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let mut stream = Stream { device: self, mappings: Vec::new() };
        for index in 0..wanted.count {
            let mut buffer = buffer(index);
            stream.device.request(abi::QUERYBUF, &mut buffer)?;
            stream.mappings.push(Mapping::new(&stream.device.file, buffer.offset, buffer.length as usize)?);
            stream.device.request(abi::QBUF, &mut buffer)?;
        }
        stream.device.request(abi::STREAMON, &mut { abi::CAPTURE })?;
        Ok(stream)
    }
}

fn buffer(index: u32) -> Buffer {
    Buffer { index, kind: abi::CAPTURE, memory: abi::MEMORY_MMAP, ..Zeroable::zeroed() }
}

/// A device that captures. Dropping it stops that, and gives the buffers back.
#[derive(Debug)]
pub(super) struct Stream {
    device: Device,
    mappings: Vec<Mapping>,
}

/// A buffer that the driver filled and does not touch until it gets it back by [`Stream::requeue`]. It cannot be
/// copied, and is no longer than what is mapped.
#[derive(Debug)]
pub(super) struct Filled {
    index: usize,
    length: usize,
    pub(super) flags: u32,
    pub(super) sequence: u32,
    /// When it was filled, by the clock that `flags` name.
    pub(super) timestamp: Duration,
}

/// What waiting for a frame came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wait {
    Ready,
    TimedOut,
    /// The device says that it is gone, or that its stream is broken.
    Broken,
}

impl Stream {
    /// Waits until a buffer is filled.
    pub(super) fn wait(&self, timeout: Duration) -> io::Result<Wait> {
        let mut poll = libc::pollfd { fd: self.device.file.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // Rounded up, so that a wait of less than a millisecond does not spin.
        let milliseconds = timeout.as_micros().div_ceil(1000).min(i32::MAX as u128) as i32;
        // SAFETY: `poll` is one live pollfd, which is what the count of 1 says.
        let result = unsafe { libc::poll(&raw mut poll, 1, milliseconds) };
        match result {
            -1 => {
                let error = io::Error::last_os_error();
                // A signal ends the wait early; whoever waits will wait again.
                if error.kind() == io::ErrorKind::Interrupted { Ok(Wait::TimedOut) } else { Err(error) }
            }
            0 => Ok(Wait::TimedOut),
            _ if poll.revents & (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) != 0 => Ok(Wait::Broken),
            _ => Ok(Wait::Ready),
        }
    }

    /// Takes a filled buffer out; nothing where none is.
    pub(super) fn dequeue(&mut self) -> io::Result<Option<Filled>> {
        let mut buffer = buffer(0);
        match self.device.request(abi::DQBUF, &mut buffer) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        }
        let index = buffer.index as usize;
        let mapping = self.mappings.get(index).ok_or_else(|| io::Error::other("the driver gave an unknown buffer"))?;
        let seconds = u64::try_from(buffer.seconds).unwrap_or(0);
        let microseconds = u64::try_from(buffer.microseconds).unwrap_or(0).min(999_999);
        Ok(Some(Filled {
            index,
            length: (buffer.bytes_used as usize).min(mapping.length),
            flags: buffer.flags,
            sequence: buffer.sequence,
            timestamp: Duration::from_secs(seconds) + Duration::from_micros(microseconds),
        }))
    }

    /// What the driver wrote.
    pub(super) fn bytes(&self, filled: &Filled) -> &[u8] {
        let mapping = &self.mappings[filled.index];
        // SAFETY: the mapping lives as long as `self`, `length` was cut to its size, and the driver writes into a
        // buffer only while it is queued: this one was dequeued, and `Filled`, which is not copied, is given up to
        // queue it.
        unsafe { std::slice::from_raw_parts(mapping.address.as_ptr(), filled.length) }
    }

    /// Gives a buffer back to be filled again.
    pub(super) fn requeue(&mut self, filled: Filled) -> io::Result<()> {
        self.device.request(abi::QBUF, &mut buffer(filled.index as u32))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // Fails where the camera was unplugged, which stopped the stream as well.
        let _ = self.device.request(abi::STREAMOFF, &mut { abi::CAPTURE });
    }
}

/// A buffer of the driver's, mapped for reading.
#[derive(Debug)]
struct Mapping {
    address: NonNull<u8>,
    length: usize,
    /// It is memory of this value's own.
    owned: PhantomData<[u8]>,
}

// SAFETY: a mapping belongs to the process and not to a thread, and only `&Stream` reads it.
unsafe impl Send for Mapping {}

impl Mapping {
    fn new(file: &File, offset: u32, length: usize) -> io::Result<Mapping> {
        // SAFETY: a fresh shared mapping of an open file at an address of the kernel's choice; it overlaps nothing.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                libc::off_t::from(offset),
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let address = NonNull::new(address.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Mapping { address, length, owned: PhantomData })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: address and length are those of a mapping that this value alone owns, and no slice of it outlives the
        // stream that holds it.
        unsafe { libc::munmap(self.address.as_ptr().cast(), self.length) };
    }
}

/// The time of the clock that cameras stamp their frames with, and that `Instant` is made of.
pub(super) fn monotonic_now() -> Duration {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a live, writable timespec.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    debug_assert_eq!(result, 0, "every Linux has this clock");
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}
