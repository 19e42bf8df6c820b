//! Where the sealed files of a store lie is written down, so that it is never opened with another place: files that are not
//! found there would count as lost.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::path::Path;

use crate::{Disk, OpenError};

/// The file in the directory: the place, a line feed, the store's own mark.
const NAME: &str = "BUCKET";

/// Compares the place that this store was made with and the one it is opened with.
pub(crate) fn claim(root: &Path, disk: &dyn Disk) -> Result<(), OpenError> {
    let path = root.join(NAME);
    let fail = |error| OpenError::io(&path, error);
    let stands = match disk.read(&path) {
        Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(fail(error)),
    };
    let elsewhere = |stored: &str| OpenError::Elsewhere {
        path: root.to_owned(),
        stored: stored.to_owned(),
        asked: disk.sealed_in().unwrap_or("the directory").to_owned(),
    };
    match (disk.sealed_in(), stands) {
        (None, None) => Ok(()),
        (None, Some(text)) => Err(elsewhere(text.lines().next().unwrap_or_default())),
        (Some(asked), Some(text)) => {
            let (stored, mark) = text.split_once('\n').unwrap_or((&text, ""));
            if stored != asked {
                return Err(elsewhere(stored));
            }
            disk.claim(mark.trim()).map_err(fail)
        }
        (Some(asked), None) => {
            if disk.read(&root.join("MANIFEST")).is_ok() {
                return Err(elsewhere("the directory"));
            }
            let random = || RandomState::new().build_hasher().finish();
            let mark = format!("{:016x}{:016x}", random(), random());
            let write = || {
                let mut file = disk.create(&path)?;
                file.write_all(format!("{asked}\n{mark}\n").as_bytes())?;
                file.sync()?;
                disk.sync_dir(root)
            };
            write().map_err(fail)?;
            disk.claim(&mark).map_err(fail)
        }
    }
}
