//! Reads model files into Kinglet's graph.
