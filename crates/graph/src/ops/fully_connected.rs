//! Matrix product of rows with weights.

use super::Activation;

/// Each row of K elements times weights [N, K] gives a row of N.
#[derive(Clone, Debug, PartialEq)]
pub struct FullyConnected {
    /// Applied to the result.
    pub activation: Activation,
}
