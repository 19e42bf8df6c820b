//! Which libraries of a process encrypt what it sends, and whether their plaintext can be seen.

mod elf;
mod maps;
mod watch;

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

pub use maps::FileId;
pub use watch::{TlsUnseen, TlsWatch};

/// A kind of TLS implementation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlsKind {
    /// OpenSSL 1.1 or 3, or what has its functions: BoringSSL, LibreSSL, a program with one of them built in.
    OpenSsl,
    /// GnuTLS.
    GnuTls,
    /// Mozilla's NSS.
    Nss,
    /// `crypto/tls` of Go.
    Go,
    /// rustls.
    Rustls,
    /// A Java machine, which brings its own.
    Java,
}

impl TlsKind {
    /// The name used in events.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenSsl => "openssl",
            Self::GnuTls => "gnutls",
            Self::Nss => "nss",
            Self::Go => "go",
            Self::Rustls => "rustls",
            Self::Java => "java",
        }
    }
}

impl fmt::Display for TlsKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Why the plaintext of a library cannot be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unseen {
    /// Nothing is known of how to see that of this kind.
    Kind,
    /// The functions that encrypt have no names in the file.
    NoSymbols,
    /// The file could not be read.
    Unreadable,
}

impl fmt::Display for Unseen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kind => "plaintext of this kind of library cannot be seen yet",
            Self::NoSymbols => "the functions that encrypt have no symbols in it",
            Self::Unreadable => "the file cannot be read",
        })
    }
}

/// A library, or a program with one built in, that encrypts what a process sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsLibrary {
    /// Where the process sees it.
    pub path: PathBuf,
    /// Where this process can open it, as long as the other one runs.
    pub reachable: PathBuf,
    /// Which file it is, whatever the path.
    pub file: FileId,
    /// What is in it.
    pub contents: TlsContents,
}

/// What is known of a file that encrypts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsContents {
    /// Whose implementation it is.
    pub kind: TlsKind,
    /// The linker's identifier of the file (note `NT_GNU_BUILD_ID`), in hexadecimal digits.
    pub build_id: Option<String>,
    /// The functions to attach to that it has; empty where `unseen` says why.
    pub functions: Vec<&'static str>,
    /// Why its plaintext cannot be seen, if so.
    pub unseen: Option<Unseen>,
}

/// Looks for the libraries of processes. Files that were read are not read again.
#[derive(Debug, Default)]
pub struct TlsLibraries {
    read: HashMap<FileId, Option<TlsContents>>,
}

/// Files of which it is remembered what they are; beyond that all are read anew.
const MOST_FILES: usize = 4096;

impl TlsLibraries {
    /// What a process has mapped that encrypts. `proc` is where the proc file system is mounted.
    ///
    /// # Errors
    /// When the process is gone, or may not be looked at.
    pub fn of_process(&mut self, proc: &Path, pid: u32) -> io::Result<Vec<TlsLibrary>> {
        let folder = proc.join(pid.to_string());
        let maps = std::fs::read(folder.join("maps"))?;
        let program = std::fs::read_link(folder.join("exe")).ok();
        let mut libraries = Vec::new();
        for mapped in maps::executable_files(&maps) {
            let is_program = program.as_deref() == Some(mapped.path.as_path());
            let Some(hint) = hint(&mapped.path, is_program) else { continue };
            let reachable = reachable(&folder, &mapped.path);
            if let Some(contents) = self.contents(mapped.file, &reachable, hint) {
                libraries.push(TlsLibrary { path: mapped.path, reachable, file: mapped.file, contents });
            }
        }
        Ok(libraries)
    }

    /// What is in a file, if it encrypts.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn of_file(&mut self, path: &Path) -> io::Result<Option<TlsLibrary>> {
        let metadata = std::fs::metadata(path)?;
        let file = FileId::of(&metadata);
        let Some(hint) = hint(path, false) else { return Ok(None) };
        let (path, reachable) = (path.to_owned(), path.to_owned());
        let contents = self.contents(file, &path, hint);
        Ok(contents.map(|contents| TlsLibrary { path, reachable, file, contents }))
    }

    fn contents(&mut self, file: FileId, path: &Path, hint: Hint) -> Option<TlsContents> {
        if let Some(known) = self.read.get(&file) {
            return known.clone();
        }
        let contents = match File::open(path) {
            Ok(opened) => elf::contents(opened, hint),
            Err(_) => hint.kind().map(|kind| TlsContents::unseen(kind, Unseen::Unreadable)),
        };
        if self.read.len() >= MOST_FILES {
            self.read.clear();
        }
        self.read.insert(file, contents.clone());
        contents
    }
}

impl TlsContents {
    fn unseen(kind: TlsKind, why: Unseen) -> Self {
        Self { kind, build_id: None, functions: Vec::new(), unseen: Some(why) }
    }
}

/// What the name of a file lets expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hint {
    /// A library of this kind.
    Library(TlsKind),
    /// The program itself: anything may be built in.
    Program,
}

impl Hint {
    fn kind(self) -> Option<TlsKind> {
        match self {
            Self::Library(kind) => Some(kind),
            Self::Program => None,
        }
    }
}

/// Only files whose names say so are read, and programs: processes have hundreds of others mapped.
fn hint(path: &Path, is_program: bool) -> Option<Hint> {
    let name = path.file_name()?.to_str()?;
    // As libssl.so.3, libssl-1a2b3c4d.so.1.1 (bundled with wheels), libssl3.so (NSS's own).
    let is = |library: &str| name.starts_with(library) && name.contains(".so");
    if is("libssl3.so") {
        Some(Hint::Library(TlsKind::Nss))
    } else if is("libssl.")
        || is("libssl-")
        || is("libboringssl")
        || is("libnode")
        || is("libjavacrypto")
        || is("libconscrypt")
    {
        Some(Hint::Library(TlsKind::OpenSsl))
    } else if is("libgnutls.") || is("libgnutls-") {
        Some(Hint::Library(TlsKind::GnuTls))
    } else if is("libjvm.") {
        Some(Hint::Library(TlsKind::Java))
    } else {
        is_program.then_some(Hint::Program)
    }
}

/// The process may see other files under the same path than this one.
fn reachable(folder: &Path, path: &Path) -> PathBuf {
    match path.strip_prefix("/") {
        Ok(relative) => folder.join("root").join(relative),
        Err(_) => path.to_owned(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A Python that has done what `code` says and waits.
    pub(crate) fn python(code: &str) -> Child {
        let code = format!("{code}\nprint('ready', flush=True)\ninput()");
        let mut child =
            Command::new("python3").args(["-c", &code]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        child
    }

    #[test]
    fn a_library_is_found_once_it_is_loaded() {
        let mut libraries = TlsLibraries::default();
        let mut without = python("");
        assert_eq!(libraries.of_process(Path::new("/proc"), without.id()).unwrap(), []);
        let mut with = python("import ssl");
        let found = libraries.of_process(Path::new("/proc"), with.id()).unwrap();
        let [library] = &found[..] else { panic!("{found:#?}") };
        assert_eq!((library.contents.kind, library.contents.unseen), (TlsKind::OpenSsl, None));
        assert_eq!(library.contents.functions, ["SSL_read", "SSL_read_ex", "SSL_write", "SSL_write_ex"]);
        assert!(library.contents.build_id.as_ref().is_some_and(|id| id.len() == 40), "{library:?}");
        assert!(std::fs::metadata(&library.reachable).unwrap().len() > 0);
        for child in [&mut without, &mut with] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    #[test]
    fn what_can_not_be_seen_is_named_with_its_reason() {
        let mut with = python("import ctypes; ctypes.CDLL('libgnutls.so.30')");
        let found = TlsLibraries::default().of_process(Path::new("/proc"), with.id()).unwrap();
        with.kill().unwrap();
        with.wait().unwrap();
        let [library] = &found[..] else { panic!("{found:#?}") };
        assert_eq!((library.contents.kind, library.contents.unseen), (TlsKind::GnuTls, Some(Unseen::Kind)));
    }

    #[test]
    fn a_process_that_is_gone_is_an_error() {
        let mut child = python("");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(TlsLibraries::default().of_process(Path::new("/proc"), child.id()).is_err());
    }

    #[test]
    fn names_tell_what_is_worth_reading() {
        let hint = |path: &str| hint(Path::new(path), false);
        assert_eq!(hint("/usr/lib/x86_64-linux-gnu/libssl.so.3"), Some(Hint::Library(TlsKind::OpenSsl)));
        assert_eq!(hint("/opt/psycopg2_binary.libs/libssl-81ffa89e.so.1.1"), Some(Hint::Library(TlsKind::OpenSsl)));
        assert_eq!(hint("/usr/lib/x86_64-linux-gnu/libssl3.so"), Some(Hint::Library(TlsKind::Nss)));
        assert_eq!(hint("/usr/lib/jvm/lib/server/libjvm.so"), Some(Hint::Library(TlsKind::Java)));
        assert_eq!(hint("/usr/lib/x86_64-linux-gnu/libc.so.6"), None);
        assert_eq!(hint("/etc/ssl/libssl.conf"), None);
    }
}
