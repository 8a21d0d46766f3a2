//! Deep-learning models in real time on small computers.
