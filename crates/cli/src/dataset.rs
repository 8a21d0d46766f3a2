//! Labelled images on disk: a folder with `labels.csv`, or with one folder a class.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};

const IMAGES: [&str; 4] = ["jpg", "jpeg", "png", "bmp"];
const WANTED: &str = "give a folder with a labels.csv (file,label) or with one folder of images a class";

/// An image and its class, counted as the labels are.
#[derive(Debug, PartialEq)]
pub struct Sample {
    pub file: PathBuf,
    pub class: usize,
}

/// Finds the labelled images of a folder, in a fixed order.
///
/// In `labels.csv` a label is the class's index or its name. A folder of a class is called by the class's index or its
/// name; where none is either, and there are as many folders as `classes`, they are the classes in alphabetical order.
pub fn open(folder: &Path, labels: &[String], classes: usize) -> Result<Vec<Sample>> {
    let csv = folder.join("labels.csv");
    let samples = match fs::read_to_string(&csv) {
        Ok(text) => from_csv(folder, &text, labels).with_context(|| csv.display().to_string())?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => from_folders(folder, labels, classes)?,
        // What cannot be a folder has no file in it.
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
            bail!("{}: this is no folder; {WANTED}", folder.display())
        }
        Err(error) => return Err(error).with_context(|| csv.display().to_string()),
    };
    ensure!(!samples.is_empty(), "{}: no labelled images here; {WANTED}", folder.display());
    Ok(samples)
}

/// So many of the samples, evenly spread, so that a part of them still has all classes.
pub fn spread(samples: Vec<Sample>, limit: usize) -> Vec<Sample> {
    let (all, limit) = (samples.len(), limit.min(samples.len()));
    let kept = |index: usize| index * limit / all != (index + 1) * limit / all;
    samples.into_iter().enumerate().filter(|(index, _)| kept(*index)).map(|(_, sample)| sample).collect()
}

fn from_csv(folder: &Path, text: &str, labels: &[String]) -> Result<Vec<Sample>> {
    let mut rows = text.trim_start_matches('\u{feff}').lines().enumerate();
    let head = rows.next().map(|(_, row)| fields(row)).unwrap_or_default();
    let column = |name: &str| {
        let found = head.iter().position(|title| title.trim().eq_ignore_ascii_case(name));
        found.ok_or_else(|| anyhow!("no column {name:?} in the first line; it has to be: file,label"))
    };
    let (file, label) = (column("file")?, column("label")?);
    let sample = |(index, row): (usize, &str)| {
        let fields = fields(row);
        let (Some(file), Some(label)) = (fields.get(file), fields.get(label)) else {
            bail!("line {} has not as many columns as the first", index + 1);
        };
        let class = class_of(label.trim(), labels)
            .ok_or_else(|| anyhow!("line {}: {label:?} is neither the index nor the name of a class", index + 1))?;
        Ok(Sample { file: folder.join(file.trim()), class })
    };
    rows.filter(|(_, row)| !row.trim().is_empty()).map(sample).collect()
}

/// The fields of a row of comma-separated values; one in quotes may hold commas, and a quote written twice (RFC 4180).
fn fields(row: &str) -> Vec<String> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut characters = row.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => field.extend(characters.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            other => field.push(other),
        }
    }
    fields.push(field);
    fields
}

fn class_of(label: &str, labels: &[String]) -> Option<usize> {
    let by_index = label.parse().ok().filter(|&index| labels.is_empty() || index < labels.len());
    by_index.or_else(|| labels.iter().position(|name| name == label))
}

fn from_folders(folder: &Path, labels: &[String], classes: usize) -> Result<Vec<Sample>> {
    let folders: Vec<PathBuf> = entries(folder)?.into_iter().filter(|path| path.is_dir()).collect();
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let named: Vec<Option<usize>> = folders.iter().map(|path| class_of(&name(path), labels)).collect();
    let stranger = folders.iter().zip(&named).find(|(_, class)| class.is_none()).map(|(path, _)| path);
    let classes: Vec<usize> = match stranger {
        None => named.into_iter().flatten().collect(),
        Some(_) if named.iter().all(Option::is_none) && folders.len() == classes => (0..classes).collect(),
        Some(stranger) => bail!(
            "{}: neither the index nor the name of a class (and not one of {classes} folders, a class each, in order); \
             rename it, or give the classes' names with --labels",
            stranger.display()
        ),
    };
    let mut samples = Vec::new();
    for (folder, class) in folders.iter().zip(classes) {
        let files = entries(folder)?.into_iter().filter(|path| is_image(path));
        samples.extend(files.map(|file| Sample { file, class }));
    }
    Ok(samples)
}

/// What is in a folder, by name.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = || fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>();
    let mut entries = read().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => anyhow!("{}: no such folder; {WANTED}", folder.display()),
        _ => anyhow::Error::new(error).context(folder.display().to_string()),
    })?;
    entries.sort();
    Ok(entries)
}

fn is_image(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    IMAGES.iter().any(|image| image.eq_ignore_ascii_case(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> Vec<String> {
        ["cat", "dog", "tench, Tinca tinca"].map(str::to_owned).into()
    }

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (file, text) in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn found(folder: &tempfile::TempDir, labels: &[String]) -> Vec<(String, usize)> {
        let samples = open(folder.path(), labels, labels.len().max(2)).unwrap();
        let name = |file: &Path| file.strip_prefix(folder.path()).unwrap().display().to_string();
        samples.iter().map(|sample| (name(&sample.file), sample.class)).collect()
    }

    #[test]
    fn a_table_has_indices_and_names() {
        let table = "\u{feff}label,note,file\r\n1,,a.jpg\r\n\"tench, Tinca tinca\",\"say \"\"x\"\"\",\"b,c.jpg\"\r\n\r\ncat,,d/e.png\r\n";
        let folder = folder(&[("labels.csv", table)]);
        let expected = [("a.jpg".into(), 1), ("b,c.jpg".into(), 2), ("d/e.png".into(), 0)];
        assert_eq!(found(&folder, &labels()), expected);
    }

    #[test]
    fn wrong_tables_are_refused() {
        for (table, problem) in [
            ("", "no column \"file\""),
            ("file,class\na,1", "no column \"label\""),
            ("file,label\na.jpg", "line 2 has not as many"),
            ("file,label\na.jpg,3", "line 2: \"3\" is neither"),
            ("file,label\na.jpg,1\n\nb.jpg,cow", "line 4: \"cow\" is neither"),
            ("file,label\n", "no labelled images"),
        ] {
            let folder = folder(&[("labels.csv", table)]);
            let message = format!("{:#}", open(folder.path(), &labels(), 3).unwrap_err());
            assert!(message.contains(problem), "{message} should say {problem}");
        }
    }

    #[test]
    fn folders_are_classes_by_name_index_or_order() {
        let by_name = folder(&[("dog/1.jpg", ""), ("cat/2.PNG", ""), ("cat/notes.txt", ""), ("cat/1.jpeg", "")]);
        let expected = [("cat/1.jpeg".into(), 0), ("cat/2.PNG".into(), 0), ("dog/1.jpg".into(), 1)];
        assert_eq!(found(&by_name, &labels()), expected);
        let by_index = folder(&[("2/a.jpg", ""), ("0/b.bmp", "")]);
        assert_eq!(found(&by_index, &labels()), [("0/b.bmp".into(), 0), ("2/a.jpg".into(), 2)]);
        let by_order = folder(&[("n02/a.jpg", ""), ("n01/b.jpg", "")]);
        assert_eq!(found(&by_order, &[]), [("n01/b.jpg".into(), 0), ("n02/a.jpg".into(), 1)]);
    }

    #[test]
    fn folders_that_may_mean_other_classes_are_refused() {
        for folders in
            [&[("cat/a.jpg", ""), ("dog/b.jpg", ""), ("cow/c.jpg", "")][..], &[("n01/a.jpg", ""), ("n02/b.jpg", "")]]
        {
            let folder = folder(folders);
            let message = format!("{:#}", open(folder.path(), &labels(), 3).unwrap_err());
            assert!(message.contains("neither the index nor the name") && message.contains("--labels"), "{message}");
        }
    }

    #[test]
    fn a_folder_without_images_is_named() {
        let empty = folder(&[("readme.txt", "")]);
        for (path, problem) in [
            (empty.path().to_owned(), "no labelled images here"),
            (empty.path().join("absent"), "no such folder"),
            (empty.path().join("readme.txt"), "this is no folder"),
        ] {
            let message = format!("{:#}", open(&path, &labels(), 3).unwrap_err());
            assert!(message.contains(problem) && message.contains("labels.csv"), "{message}");
        }
    }

    #[test]
    fn a_part_is_spread_evenly() {
        let samples = |count: usize| (0..count).map(|class| Sample { file: PathBuf::new(), class }).collect::<Vec<_>>();
        for (count, limit) in [(10, 3), (10, 10), (10, 99), (7, 1), (500, 499), (3, 0)] {
            let part: Vec<usize> = spread(samples(count), limit).iter().map(|sample| sample.class).collect();
            assert_eq!(part.len(), limit.min(count));
            assert!(part.windows(2).all(|pair| pair[1] - pair[0] <= count.div_ceil(limit)), "{part:?}");
        }
    }
}
