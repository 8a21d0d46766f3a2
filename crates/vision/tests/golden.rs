//! Decoding and preprocessing against tensors that others computed: the exact inputs behind the reference answers, byte
//! for byte. Needs the directory that KINGLET_DATA names.

use std::path::{Path, PathBuf};

use kinglet_vision::decode;
use kinglet_vision::preprocess::{Element, Input, Layout, Normalize, Output, Preprocess, Preprocessor};

fn data() -> Option<PathBuf> {
    let data = std::env::var_os("KINGLET_DATA").map(PathBuf::from);
    if data.is_none() {
        eprintln!("skipped: KINGLET_DATA is not set");
    }
    data
}

/// The values of a NumPy file, whose header is text of a length that bytes 8 and 9 give.
fn npy(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap();
    assert_eq!(&bytes[..7], b"\x93NUMPY\x01", "{}", path.display());
    bytes[10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]))..].to_vec()
}

/// The images that the golden inputs were made from: the first ones of the folder, by name.
fn images(data: &Path) -> Vec<PathBuf> {
    let mut images: Vec<_> = std::fs::read_dir(data.join("imagenet")).unwrap().map(|e| e.unwrap().path()).collect();
    images.retain(|path| path.extension().is_some_and(|e| e == "jpg"));
    images.sort();
    images.truncate(8);
    images
}

fn check_uint8_model(model: &str, size: u32) {
    let Some(data) = data() else { return };
    let element = Element::U8 { scale: 1.0 / 128.0, zero_point: 128 };
    let input = Input { width: size, height: size, layout: Layout::Nhwc, element };
    let mut preprocessor = Preprocessor::new(Preprocess::imagenet(size, size, Normalize::Bytes), input).unwrap();
    for (i, image) in images(&data).iter().enumerate() {
        let golden = npy(&data.join(format!("golden/{model}/{i:02}.in.npy")));
        let picture = decode::image(&std::fs::read(image).unwrap()).unwrap();
        let mut out = vec![0; preprocessor.values()];
        preprocessor.run(&picture, Output::U8(&mut out)).unwrap();
        assert!(out == golden, "{model}: {}", image.display());
    }
}

#[test]
fn the_input_of_a_224_model_is_that_of_the_reference() {
    check_uint8_model("tf2_mobilenet_v2_1.0_224_ptq.tflite", 224);
}

#[test]
fn the_input_of_a_128_model_is_that_of_the_reference() {
    check_uint8_model("mobilenet_v1_0.25_128_quant.tflite", 128);
}

#[test]
fn the_input_of_a_float_model_is_that_of_the_reference() {
    let Some(data) = data() else { return };
    let input = Input { width: 224, height: 224, layout: Layout::Nchw, element: Element::F32 };
    let mut preprocessor = Preprocessor::new(Preprocess::imagenet(224, 224, Normalize::SYMMETRIC), input).unwrap();
    for (i, image) in images(&data).iter().enumerate() {
        let golden = npy(&data.join(format!("golden/mobilenet_v2_imagenet.onnx/{i:02}.in.npy")));
        let golden = golden.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let picture = decode::image(&std::fs::read(image).unwrap()).unwrap();
        let mut out = vec![0.0; preprocessor.values()];
        preprocessor.run(&picture, Output::F32(&mut out)).unwrap();
        assert_eq!(golden.len(), out.len());
        let largest = out.iter().zip(golden).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        // The reference divides in another order; a byte more or less would be 2 / 255.
        assert!(largest < 1e-6, "{}: largest difference {largest}", image.display());
    }
}
