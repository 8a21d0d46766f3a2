//! Commands that answer one picture after another, and draw what they found.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use kinglet::Rgb;
use kinglet::vision::encode;

use crate::{output, report};

/// Quality of JPEG files that are written, of 100.
const JPEG_QUALITY: u8 = 90;

/// Answers each picture; one that fails is reported, and the others are answered all the same. `done` says what is done
/// with them: `classified`.
pub fn each(images: &[PathBuf], done: &str, mut answer: impl FnMut(&Path) -> Result<()>) -> Result<()> {
    let mut failed = 0;
    for file in images {
        match answer(file) {
            Ok(()) => {}
            Err(error) if error.is::<output::Closed>() => return Err(error),
            Err(error) => {
                report(&error);
                failed += 1;
            }
        }
    }
    match failed {
        0 => Ok(()),
        _ if images.len() == 1 => Err(crate::Reported.into()),
        _ => bail!("{failed} of {} images could not be {done}", images.len()),
    }
}

/// Where pictures with what was found in them go.
pub enum Drawings {
    /// Nowhere.
    None,
    /// Into this file.
    File(PathBuf),
    /// Into this folder, under the pictures' own names.
    Folder { folder: PathBuf, taken: HashSet<PathBuf> },
}

impl Drawings {
    /// `path` is a .png or .jpg file, or else a folder, which is made.
    pub fn to(path: Option<&Path>, images: &[PathBuf]) -> Result<Drawings> {
        let Some(path) = path else { return Ok(Drawings::None) };
        if kind(path).is_some() && !path.is_dir() {
            let count = images.len();
            ensure!(count == 1, "{}: one file cannot hold {count} pictures; give a folder", path.display());
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir());
            if let Some(folder) = folder {
                bail!("{}: there is no folder {}; make it first", path.display(), folder.display());
            }
            return Ok(Drawings::File(path.to_owned()));
        }
        let other = path.extension().and_then(|ending| ending.to_str()).is_some_and(is_other_image);
        ensure!(
            path.is_dir() || !(path.exists() || other),
            "{}: drawings are PNG or JPEG; give a .png or .jpg file, or a folder",
            path.display()
        );
        fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Drawings::Folder { folder: path.to_owned(), taken: HashSet::new() })
    }

    /// Whether there is anything to draw for.
    pub fn wanted(&self) -> bool {
        !matches!(self, Drawings::None)
    }

    /// Writes the picture that was drawn over that of `file`, which itself is never written over.
    pub fn save(&mut self, file: &Path, image: &Rgb) -> Result<()> {
        let path = match self {
            Drawings::None => return Ok(()),
            Drawings::File(path) => path.clone(),
            Drawings::Folder { folder, taken } => free_name(folder, file, taken),
        };
        let same = |a: &Path, b: &Path| a.canonicalize().ok().zip(b.canonicalize().ok()).is_some_and(|(a, b)| a == b);
        ensure!(!same(&path, file), "{}: this is the picture itself; give another place for drawings", path.display());
        let mut bytes = Vec::new();
        match kind(&path) {
            Some(Kind::Jpeg) => encode::jpeg(image, JPEG_QUALITY, &mut bytes),
            _ => encode::png(image, &mut bytes),
        }
        .map_err(kinglet::Error::from)?;
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Jpeg,
    Png,
}

/// What a file is, by the end of its name.
fn kind(path: &Path) -> Option<Kind> {
    match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "jpg" | "jpeg" => Some(Kind::Jpeg),
        "png" => Some(Kind::Png),
        _ => None,
    }
}

/// Whether files that end so are images of a kind that is not written.
fn is_other_image(ending: &str) -> bool {
    ["avif", "bmp", "gif", "ppm", "tif", "tiff", "webp"].contains(&ending.to_ascii_lowercase().as_str())
}

/// A name in the folder that no picture before has: the picture's own, as a PNG where it is no JPEG.
fn free_name(folder: &Path, file: &Path, taken: &mut HashSet<PathBuf>) -> PathBuf {
    let stem = file.file_stem().unwrap_or(file.as_os_str()).to_string_lossy().into_owned();
    let ending = if kind(file) == Some(Kind::Jpeg) { "jpg" } else { "png" };
    let names = std::iter::once(format!("{stem}.{ending}")).chain((2..).map(|n| format!("{stem}_{n}.{ending}")));
    let free = names.map(|name| folder.join(name)).find(|path| taken.insert(path.clone()));
    free.expect("numbers do not end")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawings_have_names_of_their_own() {
        let mut taken = HashSet::new();
        let names = ["a/cat.jpg", "b/cat.JPG", "cat.bmp", "b/cat.png"]
            .map(|file| free_name(Path::new("out"), Path::new(file), &mut taken));
        assert_eq!(names, ["out/cat.jpg", "out/cat_2.jpg", "out/cat.png", "out/cat_2.png"].map(PathBuf::from));
    }

    #[test]
    fn a_picture_is_not_drawn_over() {
        let folder = tempfile::tempdir().unwrap();
        let picture = folder.path().join("a.png");
        fs::write(&picture, "").unwrap();
        let image = Rgb::from_bytes(1, 1, vec![0; 3]).unwrap();
        for place in [folder.path(), &picture] {
            let mut drawings = Drawings::to(Some(place), std::slice::from_ref(&picture)).unwrap();
            let message = drawings.save(&picture, &image).unwrap_err().to_string();
            assert!(message.contains("the picture itself"), "{message}");
        }
        let refused =
            |place: &Path, pictures: &[PathBuf]| Drawings::to(Some(place), pictures).err().unwrap().to_string();
        let one = std::slice::from_ref(&picture);
        assert!(refused(Path::new("x.png"), &[picture.clone(), picture.clone()]).contains("give a folder"));
        assert!(refused(Path::new("x.gif"), one).contains("PNG or JPEG"));
        assert!(refused(&folder.path().join("none/x.png"), one).contains("there is no folder"));
        fs::write(folder.path().join("text"), "").unwrap();
        assert!(refused(&folder.path().join("text"), one).contains("give a .png or .jpg file"));
    }
}
