//! Hooks into TLS libraries.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use aya::programs::ProgramError;
use aya::programs::uprobe::{UProbe, UProbeAttachLocation, UProbeAttachPoint, UProbeError, UProbeLinkId, UProbeScope};
use metaflow_ebpf_common::TlsFunction;

use super::{Kernel, LoadError, error};

/// Functions of OpenSSL and its relatives through which plaintext goes; those with `_ex` are younger than the others.
const FUNCTIONS: [(&str, u64); 4] = [
    ("SSL_write", 0),
    ("SSL_read", TlsFunction::RECEIVES),
    ("SSL_write_ex", TlsFunction::EXTENDED),
    ("SSL_read_ex", TlsFunction::RECEIVES | TlsFunction::EXTENDED),
];
const FREE: &str = "SSL_free";

/// Why the plaintext of a TLS library is not seen.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The programs cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The library does not name its functions: it is another one, or was stripped of its names, as where it is linked into a program.
    #[error("{path} has no function {function}: it is no OpenSSL, or was stripped of its names")]
    NoSymbol {
        /// The file.
        path: PathBuf,
        /// The function.
        function: &'static str,
    },
    /// The process may not do this. Linux 6.17 and newer ask for more than older ones do.
    #[error(
        "the kernel does not permit to attach to {function} of {path}: it takes CAP_SYS_ADMIN, or CAP_PERFMON before Linux 6.17"
    )]
    Permission {
        /// The file.
        path: PathBuf,
        /// The function.
        function: &'static str,
    },
    /// The kernel or the file refuses.
    #[error("cannot attach to {function} of {path}: {source}")]
    Attach {
        /// The file.
        path: PathBuf,
        /// The function.
        function: &'static str,
        /// What the kernel says.
        source: Box<ProgramError>,
    },
}

/// Hooks in one library; [`Kernel::detach_tls`] takes them out.
#[derive(Debug)]
pub struct TlsHooks {
    links: Vec<(&'static str, UProbeLinkId)>,
}

impl Kernel {
    /// Hooks into a TLS library (OpenSSL 1.1 or 3, or one with the same functions), in all processes that use this file, or in one.
    /// Only what is followed is seen. Each call of such a function then takes some microseconds longer. It takes `CAP_SYS_ADMIN`.
    ///
    /// # Errors
    /// Which function or right is missing; see [`TlsError`]. Nothing stays attached then.
    pub fn attach_tls(&mut self, path: &Path, process: Option<NonZeroU32>) -> Result<TlsHooks, TlsError> {
        let scope = process.map_or(UProbeScope::AllProcesses, UProbeScope::OneProcess);
        let mut hooks = TlsHooks { links: Vec::new() };
        let result = self.hook_all(path, scope, &mut hooks);
        if let Err(error) = result {
            self.detach_tls(hooks);
            return Err(error);
        }
        Ok(hooks)
    }

    fn hook_all(&mut self, path: &Path, scope: UProbeScope, hooks: &mut TlsHooks) -> Result<(), TlsError> {
        for (function, bits) in FUNCTIONS {
            let optional = bits & TlsFunction::EXTENDED != 0;
            for program in ["tls_returns", "tls_begins"] {
                match self.hook(program, path, function, bits, scope) {
                    Ok(link) => hooks.links.push((program, link)),
                    Err(TlsError::NoSymbol { .. }) if optional => {}
                    Err(error) => return Err(error),
                }
            }
        }
        match self.hook("tls_freed", path, FREE, 0, scope) {
            Ok(link) => hooks.links.push(("tls_freed", link)),
            Err(TlsError::NoSymbol { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn hook(
        &mut self,
        name: &'static str,
        path: &Path,
        function: &'static str,
        bits: u64,
        scope: UProbeScope,
    ) -> Result<UProbeLinkId, TlsError> {
        let program = self.tls_program(name)?;
        if program.fd().is_err() {
            program.load().map_err(|source| error::program(name, source))?;
        }
        let point = UProbeAttachPoint { location: UProbeAttachLocation::Symbol(function), cookie: Some(bits) };
        program.attach(point, path, scope).map_err(|source| match source {
            ProgramError::UProbeError(UProbeError::SymbolError { .. }) => {
                TlsError::NoSymbol { path: path.to_owned(), function }
            }
            source if error::denied(&source) => TlsError::Permission { path: path.to_owned(), function },
            source => TlsError::Attach { path: path.to_owned(), function, source: Box::new(source) },
        })
    }

    fn tls_program(&mut self, name: &'static str) -> Result<&mut UProbe, LoadError> {
        let program = self.programs.program_mut(name).and_then(|program| program.try_into().ok());
        program.ok_or(LoadError::Object { missing: name })
    }

    /// Takes hooks out of a library.
    pub fn detach_tls(&mut self, hooks: TlsHooks) {
        for (name, link) in hooks.links {
            if let Ok(program) = self.tls_program(name) {
                // That it is not attached is what is wanted.
                let _ = program.detach(link);
            }
        }
    }
}
