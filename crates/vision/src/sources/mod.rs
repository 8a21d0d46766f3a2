//! Where frames come from.

/// What a source can be, for messages.
pub(crate) const SOURCES: &str =
    "'camera' (the first one), /dev/videoN, a folder of images, a .y4m or .mjpeg file, or an http:// MJPEG stream";
