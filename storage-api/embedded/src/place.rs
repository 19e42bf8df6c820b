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
    // Nothing was stored yet, perhaps because the first place could not be reached: another one may be chosen.
    let names = disk.list(root).map_err(|error| OpenError::io(root, error))?;
    let fresh = !names.iter().any(|name| name == "MANIFEST" || name == "log");
    let stands = stands.as_deref().map(|text| text.split_once('\n').unwrap_or((text, "")));
    let Some(asked) = disk.sealed_in() else {
        return match stands {
            Some((stored, _)) if !fresh => Err(elsewhere(stored)),
            Some(_) => disk.remove(&path).map_err(fail),
            None => Ok(()),
        };
    };
    let take = |mark: &str| disk.claim(mark).map_err(|error| OpenError::io(Path::new(asked), error));
    match stands {
        Some((stored, mark)) if stored == asked => take(mark.trim()),
        Some((stored, _)) if !fresh => Err(elsewhere(stored)),
        None if !fresh => Err(elsewhere("the directory")),
        _ => {
            let random = || RandomState::new().build_hasher().finish();
            let mark = format!("{:016x}{:016x}", random(), random());
            let write = || {
                let mut file = disk.create(&path)?;
                file.write_all(format!("{asked}\n{mark}\n").as_bytes())?;
                file.sync()?;
                disk.sync_dir(root)
            };
            write().map_err(fail)?;
            take(&mark)
        }
    }
}
