//! Cameras, files, preprocessing, the live loop and its page.
