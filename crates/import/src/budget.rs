//! The memory that reading a file may take.

use crate::ImportError;

/// The most that all tensors which nodes make may take together.
pub const MAX_ACTIVATION_BYTES: usize = 1 << 32;

/// What a value or a node takes besides its name and elements, roughly.
pub const BOOKKEEPING: usize = 256;

/// The most bytes of a name that are kept.
pub const MAX_NAME: usize = 1024;

/// As much of a name as is kept.
pub fn shortened(name: &str) -> &str {
    let end = (0..=name.len().min(MAX_NAME)).rev().find(|end| name.is_char_boundary(*end));
    &name[..end.unwrap_or(0)]
}

/// The memory that a file of some size may ask for. Parts of it can be referred to more than once, so a small file
/// could otherwise describe a large model; real files refer to nearly everything once.
#[derive(Debug)]
pub struct Budget {
    left: usize,
}

impl Budget {
    /// A budget for a file of this many bytes.
    pub fn of_file(bytes: usize) -> Budget {
        Budget { left: bytes.saturating_mul(4).saturating_add(16 << 20) }
    }

    /// Takes memory off it.
    pub fn charge(&mut self, bytes: usize) -> Result<(), ImportError> {
        let left = self.left.checked_sub(bytes);
        self.left = left.ok_or_else(|| ImportError::TooLarge("it holds far less data than it describes".to_owned()))?;
        Ok(())
    }

    /// Adds what more data than the file itself justifies.
    pub fn extend(&mut self, bytes: usize) {
        self.left = self.left.saturating_add(bytes.saturating_mul(4));
    }
}
