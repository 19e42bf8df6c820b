//! What a file of a program or library has to do with TLS.

use std::fs::File;

use memchr::memmem;
use object::read::{ReadCache, ReadRef};
use object::{Object, ObjectSection, ObjectSymbol};

use super::{Hint, TlsContents, TlsKind, Unseen};

/// Those that take plaintext or give it.
const OPENSSL: [&str; 4] = ["SSL_read", "SSL_read_ex", "SSL_write", "SSL_write_ex"];
/// Bytes of one section that are looked through.
const MOST_BYTES: u64 = 128 << 20;
/// Characters of a version.
const MOST_VERSION: usize = 32;

/// What is in a file, `None` if it does not encrypt.
pub(super) fn contents(file: File, hint: Hint) -> Option<TlsContents> {
    let cache = ReadCache::new(file);
    let Ok(parsed) = object::File::parse(&cache) else {
        return hint.kind().map(|kind| TlsContents::unseen(kind, Unseen::Unreadable));
    };
    let build_id = parsed.build_id().ok().flatten().map(hexadecimal);
    let contents =
        |kind, functions: Vec<_>, unseen| Some(TlsContents { kind, build_id: build_id.clone(), functions, unseen });
    let functions = openssl_functions(&parsed);
    if !functions.is_empty() {
        return contents(TlsKind::OpenSsl, functions, None);
    }
    match hint {
        // libnode may leave it to libssl.
        Hint::Library(TlsKind::OpenSsl) if !has_text(&parsed, ".rodata", b"SSL_write") => None,
        Hint::Library(TlsKind::OpenSsl) => contents(TlsKind::OpenSsl, functions, Some(Unseen::NoSymbols)),
        Hint::Library(kind) => contents(kind, functions, Some(Unseen::Kind)),
        Hint::Program => contents(built_in(&parsed)?, functions, Some(Unseen::Kind)),
    }
}

fn openssl_functions<'a>(file: &object::File<'a, impl ReadRef<'a>>) -> Vec<&'static str> {
    let is_defined = |name: &str| {
        let all = file.dynamic_symbols().chain(file.symbols());
        all.into_iter().any(|symbol| symbol.is_definition() && symbol.name() == Ok(name))
    };
    OPENSSL.into_iter().filter(|name| is_defined(name)).collect()
}

/// What is built into a program.
fn built_in<'a>(file: &object::File<'a, impl ReadRef<'a>>) -> Option<TlsKind> {
    // The names of all functions of a Go program are in this table, stripped or not.
    if file.section_by_name(".go.buildinfo").is_some() || file.section_by_name(".gopclntab").is_some() {
        let has_tls = [".gopclntab", ".data.rel.ro.gopclntab", ".data.rel.ro"]
            .into_iter()
            .any(|section| has_text(file, section, b"crypto/tls.(*Conn).Write"));
        return has_tls.then_some(TlsKind::Go);
    }
    data(file, ".rodata").is_some_and(names_rustls).then_some(TlsKind::Rustls)
}

/// Whether there are places in its sources, for what it says when it panics: `/rustls-0.23.40/src/`.
fn names_rustls(text: &[u8]) -> bool {
    let name: &[u8] = b"/rustls-";
    memmem::find_iter(text, name).any(|at| {
        let behind = text.get(at + name.len()..).unwrap_or_default();
        let version = behind.iter().take(MOST_VERSION).position(|byte| *byte == b'/').unwrap_or_default();
        version > 0 && behind.get(version..).is_some_and(|behind| behind.starts_with(b"/src/"))
    })
}

fn has_text<'a>(file: &object::File<'a, impl ReadRef<'a>>, section: &str, text: &[u8]) -> bool {
    data(file, section).is_some_and(|data| memmem::find(data, text).is_some())
}

fn data<'a>(file: &object::File<'a, impl ReadRef<'a>>, section: &str) -> Option<&'a [u8]> {
    file.section_by_name(section).filter(|section| section.size() <= MOST_BYTES)?.data().ok()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::names_rustls;

    #[test]
    fn only_the_sources_of_rustls_name_it() {
        assert!(names_rustls(b"..registry/src/x/rustls-0.23.40/src/conn.rs.."));
        assert!(
            !names_rustls(b"/rustls-")
                && !names_rustls(b"a/rustls-native-certs-0.8/srx")
                && !names_rustls(b"/rustls-/src/")
        );
    }
}
