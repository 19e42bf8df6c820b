use std::any::Any;
use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

/// Where the files of a store lie. Everything the store does to files goes through here, so that a test can put a disk
/// below it that loses power between any two operations.
///
/// What each operation leaves behind after a crash is what POSIX promises and no more: written bytes are safe after
/// [`DiskFile::sync`], the existence and the name of a file after [`Disk::sync_dir`] of its directory. All operations block.
pub trait Disk: Debug + Send + Sync {
    /// Makes a directory and those above it, and their names safe; no error if it is there.
    ///
    /// # Errors
    /// Those of the file system, here and in every other operation.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Takes the lock file of a store for as long as the answer lives. Fails with [`io::ErrorKind::WouldBlock`] while
    /// another holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>>;

    /// Makes a file, empty, in place of what is there.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// A whole file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Parts of a file; [`io::ErrorKind::UnexpectedEof`] when it is shorter.
    fn read_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> io::Result<Vec<Vec<u8>>>;

    /// Makes safe what a file holds.
    fn sync_file(&self, path: &Path) -> io::Result<()>;

    /// The names in a directory, of files and of directories; none if there is no such directory.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;

    /// Gives a file another name, in place of what has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file; no error if it is not there.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes safe which files a directory holds.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Where sealed files lie, if that is not the directory.
    fn sealed_in(&self) -> Option<&str> {
        None
    }

    /// Makes that place the store's own, of which this is the mark. Fails with [`io::ErrorKind::AlreadyExists`] when it
    /// is another store's.
    fn claim(&self, store: &str) -> io::Result<()> {
        let _ = store;
        Ok(())
    }
}

/// A file being written from its beginning.
pub trait DiskFile: Write + Send {
    /// Makes safe what was written. After an error nothing is known about any byte since the last success, and no later
    /// success says anything about them.
    ///
    /// # Errors
    /// Those of the file system.
    fn sync(&mut self) -> io::Result<()>;
}

/// The file system of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsDisk;

impl Disk for OsDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let above = match path.parent() {
            Some(above) if above != Path::new("") => above,
            _ => Path::new("."),
        };
        match fs::create_dir(path) {
            Ok(()) => self.sync_dir(above),
            Err(error) if error.kind() == io::ErrorKind::NotFound && above != Path::new(".") => {
                self.create_dir(above)?;
                fs::create_dir(path)?;
                self.sync_dir(above)
            }
            // Its name may not be safe yet, if whoever made it died before. Not everyone may open what lies above.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {
                let _ = self.sync_dir(above);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Box::new(file))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(File::create(path)?))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn read_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> io::Result<Vec<Vec<u8>>> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        let part = |range: &Range<u64>| {
            if range.start > range.end || range.end > size {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let mut bytes = vec![0; (range.end - range.start) as usize];
            file.read_exact_at(&mut bytes, range.start)?;
            Ok(bytes)
        };
        ranges.iter().map(part).collect()
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        // Names that are not UTF-8 are not ours.
        let names = entries.map(|entry| entry.map(|entry| entry.file_name().into_string().ok()));
        names.filter_map(Result::transpose).collect()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

impl DiskFile for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}
