//! The directory of fetched models: where it is, one writer at a time, and nothing in it that is not whole.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::Entry;
use crate::Error;

/// What to do when the cache cannot be written.
pub(super) const ADVICE: &str = "set KINGLET_HOME to a directory that you may write";

/// The directory that holds what Kinglet keeps.
pub(super) fn home() -> Result<PathBuf, Error> {
    let user = std::env::home_dir().filter(|path| path.is_absolute());
    home_from(std::env::var_os("KINGLET_HOME"), std::env::var_os("XDG_CACHE_HOME"), user).ok_or(Error::NoHome)
}

/// The first that is set. The XDG base directory specification says to ignore relative paths.
fn home_from(kinglet: Option<OsString>, xdg: Option<OsString>, user: Option<PathBuf>) -> Option<PathBuf> {
    let kinglet = kinglet.filter(|path| !path.is_empty()).map(PathBuf::from);
    let xdg = xdg.map(PathBuf::from).filter(|path| path.is_absolute());
    kinglet.or_else(|| xdg.or_else(|| Some(user?.join(".cache"))).map(|cache| cache.join("kinglet")))
}

/// Whether this file has the entry's size and hash. A file that is not there has not.
pub(super) fn is_whole(path: &Path, entry: &Entry) -> Result<bool, Error> {
    let whole = || -> io::Result<bool> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        let is_alike = metadata.is_file() && entry.sizes().contains(&metadata.len());
        Ok(is_alike && sha256(file.take(metadata.len()))?.starts_with(entry.sha256))
    };
    whole().map_err(|error| Error::file(path, &error, ADVICE))
}

/// The SHA-256 of what this reads, in lower-case hexadecimal.
pub(super) fn sha256(mut reader: impl Read) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            Ok(read) => hash.update(&buffer[..read]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Waits until this process alone may write the entry's files; calls `waiting` if another one has them now. The lock
/// ends with the file that is returned, or with the process. Its own file stays: to delete it would let two processes
/// hold locks on two files of the same name.
pub(super) fn lock(directory: &Path, entry: &Entry, waiting: impl FnOnce()) -> Result<File, Error> {
    fs::create_dir_all(directory).map_err(|error| Error::file(directory, &error, ADVICE))?;
    let path = directory.join(format!(".{}.lock", entry.file_name()));
    let lock = || -> io::Result<File> {
        let file = File::options().create(true).write(true).truncate(false).open(&path)?;
        let locked = match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                waiting();
                file.lock()
            }
            Err(TryLockError::Error(error)) => Err(error),
            Ok(()) => Ok(()),
        };
        match locked {
            // Some network file systems have no locks. Two writers there can only spoil each other's hash.
            Err(error) if error.kind() != ErrorKind::Unsupported => Err(error),
            _ => Ok(file),
        }
    };
    lock().map_err(|error| Error::file(&path, &error, ADVICE))
}

/// Gives a verified file its final name, durably: after a power cut it is there whole or not at all.
pub(super) fn put_in_place(part: &Path, path: &Path) -> Result<(), Error> {
    let put = || -> io::Result<()> {
        File::open(part)?.sync_all()?;
        fs::rename(part, path)?;
        path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    };
    put().map_err(|error| Error::file(path, &error, ADVICE))
}

/// Deletes a file.
pub(super) fn remove(path: &Path) -> Result<(), Error> {
    fs::remove_file(path).map_err(|error| Error::file(path, &error, ADVICE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn home_is_the_first_that_is_set() {
        let home = |kinglet: &str, xdg: &str, user: Option<&str>| {
            let set = |value: &str| (value != "unset").then(|| OsString::from(value));
            home_from(set(kinglet), set(xdg), user.map(PathBuf::from)).map(|path| path.display().to_string())
        };
        for (kinglet, xdg, user, expected) in [
            ("/k", "/x", Some("/u"), Some("/k")),
            ("here", "/x", Some("/u"), Some("here")),
            ("", "/x", Some("/u"), Some("/x/kinglet")),
            ("unset", "/x", Some("/u"), Some("/x/kinglet")),
            ("unset", "relative", Some("/u"), Some("/u/.cache/kinglet")),
            ("unset", "", None, None),
            ("unset", "unset", Some("/u"), Some("/u/.cache/kinglet")),
        ] {
            assert_eq!(home(kinglet, xdg, user).as_deref(), expected, "{kinglet} {xdg} {user:?}");
        }
    }

    #[test]
    fn hashes_are_those_of_the_standard() {
        // FIPS 180-2, appendix B.1, and the empty message.
        assert_eq!(sha256(&b"abc"[..]).unwrap(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(sha256(&b""[..]).unwrap(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
