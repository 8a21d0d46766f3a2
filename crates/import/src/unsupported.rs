//! Collects the operators of a file that are not supported, so that its owner learns of all at once.

use crate::{ImportError, UnsupportedOperator};

/// Unsupported operators, each kind once.
#[derive(Default)]
pub struct Unsupported(Vec<UnsupportedOperator>);

impl Unsupported {
    /// The most kinds that are listed.
    const MAX: usize = 64;

    /// Adds node number `node`, which is called `name`.
    pub fn add(&mut self, operator: String, version: i32, reason: String, node: usize, name: impl FnOnce() -> String) {
        let same = |u: &&mut UnsupportedOperator| u.operator == operator && u.version == version && u.reason == reason;
        if let Some(known) = self.0.iter_mut().find(same) {
            known.more += 1;
        } else if self.0.len() < Unsupported::MAX {
            self.0.push(UnsupportedOperator { operator, version, reason, node, name: name(), more: 0 });
        }
    }

    /// An error if there are any.
    pub fn finish(self) -> Result<(), ImportError> {
        if self.0.is_empty() { Ok(()) } else { Err(ImportError::Unsupported(self.0)) }
    }
}
