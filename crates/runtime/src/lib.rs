//! Turns a graph into a packed, planned, allocation-free session.
