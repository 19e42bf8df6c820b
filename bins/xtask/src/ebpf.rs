//! `cargo xtask ebpf`: the programs for the kernel, built so that everybody gets the same bytes.
//!
//! They take a compiler that can do their target without a nightly: Debian's `rustc-web`, with the core library built for that target in
//! `libstd-rust-web-dev-bpf`, and `bpf-linker` with the same LLVM. What comes out is checked in together with a manifest, so that nobody
//! else needs any of that, and so that a test sees when a source was edited and the object was not built again.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

use crate::build::root;
use crate::packages;

/// What brings the compiler.
const COMPILER: &str = "/usr/bin/rustc";
const PACKAGES: &[&str] = &["rustc-web", "libstd-rust-web-dev-bpf"];
const LINKER: &str = "0.13.0";
const TARGET: &str = "bpfel-unknown-none";
/// What the object is made of.
const SOURCES: &[&str] = &[
    "ebpf-tracer/programs/Cargo.toml",
    "ebpf-tracer/programs/Cargo.lock",
    "ebpf-tracer/programs/src",
    "ebpf-tracer/common/Cargo.toml",
    "ebpf-tracer/common/src",
];
const OBJECT: &str = "ebpf-tracer/prebuilt/tracer.bpf.o";
const MANIFEST: &str = "ebpf-tracer/prebuilt/tracer.bpf.manifest";

/// What the command takes.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Builds, but only compares with what is checked in
    #[arg(long)]
    check: bool,
}

/// Builds the object and its manifest, or compares them.
///
/// # Errors
/// When a tool is missing or fails, or a manifest cannot be written.
pub fn run(options: &Options) -> Result<ExitCode> {
    let built = build()?;
    if options.check {
        let same = fs::read(root().join(OBJECT)).is_ok_and(|bytes| bytes == built.object);
        let before = Manifest::read()?;
        println!(
            "{}",
            if same { "the object is what its sources give" } else { "the object is not what its sources give" }
        );
        if !same && before.tools != built.manifest.tools {
            println!("but other tools made it: {:?}, here are {:?}", before.tools, built.manifest.tools);
        }
        return Ok(if same { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    fs::write(root().join(OBJECT), &built.object).context("cannot write the object")?;
    fs::write(root().join(MANIFEST), built.manifest.to_string()).context("cannot write the manifest")?;
    println!("{OBJECT}: {} bytes", built.object.len());
    print!("{}", built.manifest);
    Ok(ExitCode::SUCCESS)
}

/// What the manifest says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// SHA-256 of the sources, names and contents.
    pub sources: String,
    /// SHA-256 of the object.
    pub object: String,
    /// Versions of what it was made with.
    pub tools: BTreeMap<String, String>,
}

impl Manifest {
    /// The one that is checked in.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read() -> Result<Self> {
        let text = fs::read_to_string(root().join(MANIFEST)).context(MANIFEST)?;
        let mut lines: BTreeMap<String, String> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split_once(' '))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let mut take = |name: &str| lines.remove(name).with_context(|| format!("{MANIFEST} has no {name}"));
        Ok(Self { sources: take("sources")?, object: take("object")?, tools: lines })
    }
}

impl std::fmt::Display for Manifest {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(formatter, "# What tracer.bpf.o was made of, and with. `cargo xtask ebpf` writes both.")?;
        writeln!(formatter, "sources {}\nobject {}", self.sources, self.object)?;
        self.tools.iter().try_for_each(|(name, version)| writeln!(formatter, "{name} {version}"))
    }
}

/// SHA-256 of the sources as they are now.
///
/// # Errors
/// When one cannot be read.
pub fn sources_now() -> Result<String> {
    let mut files = Vec::new();
    for place in SOURCES {
        collect(&root().join(place), &mut files)?;
    }
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        let name = file.strip_prefix(root()).unwrap_or(&file).to_string_lossy().into_owned();
        let bytes = fs::read(&file).with_context(|| file.display().to_string())?;
        hash.update(format!("{name}\n{}\n", bytes.len()));
        hash.update(bytes);
    }
    Ok(hex(&hash.finalize()))
}

/// SHA-256 of the object as it is now.
///
/// # Errors
/// When it cannot be read.
pub fn object_now() -> Result<String> {
    Ok(hex(&Sha256::digest(fs::read(root().join(OBJECT)).context(OBJECT)?)))
}

fn collect(place: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if place.is_dir() {
        for entry in fs::read_dir(place).with_context(|| place.display().to_string())? {
            collect(&entry?.path(), files)?;
        }
    } else {
        files.push(place.to_owned());
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

struct Built {
    object: Vec<u8>,
    manifest: Manifest,
}

fn build() -> Result<Built> {
    if !Path::new(COMPILER).exists() || !core_is_there() {
        ensure!(packages::is_root(), "not installed, and only root can: {}", PACKAGES.join(" "));
        packages::apt_install(PACKAGES)?;
    }
    let version = output(Command::new(COMPILER).arg("-vV"))?;
    let field = |name: &str| {
        let line = version.lines().find_map(|line| line.strip_prefix(name));
        line.map(|value| value.trim().to_owned()).with_context(|| format!("{COMPILER} does not say its {name}"))
    };
    let llvm = field("LLVM version:")?;
    let major = llvm.split('.').next().unwrap_or_default().to_owned();
    let cache = cache()?;
    let linker = linker(&cache, &major)?;
    let programs = root().join("ebpf-tracer/programs");
    let target = cache.join("target");
    let mut cargo = cargo();
    cargo.args(["build", "--release", "--locked", "--target", TARGET, "--target-dir"]).arg(&target);
    cargo.current_dir(&programs).env("RUSTC", COMPILER).env("RUSTC_BOOTSTRAP", "1");
    cargo.env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", &linker);
    let registry = cargo_home()?.join("registry/src");
    // No path of this machine gets into the object.
    let flags = format!(
        "-C debuginfo=2 -C link-arg=--btf -C target-cpu=v3 --remap-path-prefix={}=/src --remap-path-prefix={}=/registry",
        root().join("ebpf-tracer").display(),
        registry.display()
    );
    cargo.env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_RUSTFLAGS", flags);
    ensure!(cargo.status().context("cannot start cargo")?.success(), "the programs do not build");
    let stripped = target.join("tracer.bpf.o");
    strip(&target.join(TARGET).join("release/tracer"), &stripped)?;
    let object = fs::read(&stripped)?;
    let tools = [
        ("bpf-linker".to_owned(), LINKER.to_owned()),
        ("llvm".to_owned(), llvm),
        ("rustc".to_owned(), field("release:")?),
    ];
    let manifest = Manifest { sources: sources_now()?, object: hex(&Sha256::digest(&object)), tools: tools.into() };
    Ok(Built { object, manifest })
}

fn core_is_there() -> bool {
    let folder = Path::new("/usr/lib/rustlib").join(TARGET).join("lib");
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

/// Builds the linker once.
fn linker(cache: &Path, major: &str) -> Result<PathBuf> {
    let place = cache.join(format!("bpf-linker-{LINKER}-llvm-{major}"));
    let program = place.join("bin/bpf-linker");
    if program.exists() {
        return Ok(program);
    }
    println!("building bpf-linker {LINKER} with LLVM {major}, once");
    // It takes the library only, by a name that otherwise comes with some 50 MB of headers.
    let llvm = cache.join(format!("llvm-{major}"));
    fs::create_dir_all(llvm.join("lib"))?;
    let library = Path::new("/usr/lib")
        .join(format!("{}-linux-gnu", std::env::consts::ARCH))
        .join(format!("libLLVM.so.{major}.1"));
    ensure!(library.exists(), "{} is not there: the package libllvm{major} is missing", library.display());
    let link = llvm.join("lib/libLLVM.so");
    if !link.exists() {
        std::os::unix::fs::symlink(library, link)?;
    }
    let mut install = cargo();
    install.args(["install", "bpf-linker", "--version", LINKER, "--locked", "--no-default-features", "--features"]);
    install.arg(format!("llvm-{major}")).arg("--root").arg(&place).env("LLVM_PREFIX", &llvm);
    for (name, value) in [("OPT_LEVEL", "1"), ("DEBUG", "0"), ("STRIP", "true")] {
        install.env(format!("CARGO_PROFILE_RELEASE_{name}"), value);
    }
    ensure!(install.status().context("cannot start cargo")?.success(), "bpf-linker does not build");
    Ok(program)
}

/// Takes away what is for debuggers only; the kernel's own description of types stays. So do the names of functions, but without what
/// the compiler puts into them that depends on the folder.
fn strip(from: &Path, to: &Path) -> Result<()> {
    let sysroot = PathBuf::from(output(Command::new("rustc").args(["--print", "sysroot"]))?.trim());
    let version = output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc does not say its host")?;
    let tool = sysroot.join("lib/rustlib").join(host).join("bin/rust-objcopy");
    let mut command = Command::new(&tool);
    for name in names(&fs::read(from)?) {
        if let Some(plain) = without_hash(&name) {
            command.arg(format!("--redefine-sym={name}={plain}"));
        }
    }
    command.arg("--strip-debug").args([from, to]).env("LD_LIBRARY_PATH", sysroot.join("lib"));
    ensure!(command.status().with_context(|| tool.display().to_string())?.success(), "rust-objcopy failed");
    Ok(())
}

/// Names of the programs' own functions in an object.
fn names(object: &[u8]) -> BTreeSet<String> {
    let texts = object.split(|byte| *byte == 0).filter(|text| text.starts_with(b"_R"));
    let names = texts.filter_map(|text| String::from_utf8(text.to_vec()).ok());
    names.filter(|name| name.contains(CRATE)).collect()
}

/// How the compiler writes the name of their crate, behind what stands for its folder.
const CRATE: &str = "_6tracer";

/// `…Cs9OyBkVeT82L_6tracer…` is `…C6tracer…` (the compiler's "v0" mangling: a crate with and without a disambiguator).
fn without_hash(name: &str) -> Option<String> {
    let end = name.find(CRATE)?;
    let begin = name[..end].rfind("Cs")?;
    Some(format!("{}{}", &name[..=begin], &name[end + 1..]))
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Cargo as it was called, without what it told this program about its own build.
fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_TARGET_DIR", "CARGO_BUILD_TARGET"] {
        command.env_remove(name);
    }
    command
}

fn home(variable: &str, below: &str) -> Result<PathBuf> {
    let given: Option<OsString> = std::env::var_os(variable);
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(below));
    given.map(PathBuf::from).or_else(home).with_context(|| format!("neither {variable} nor HOME is set"))
}

fn cargo_home() -> Result<PathBuf> {
    home("CARGO_HOME", ".cargo")
}

fn cache() -> Result<PathBuf> {
    let cache = home("XDG_CACHE_HOME", ".cache")?.join("metaflow/ebpf");
    fs::create_dir_all(&cache).with_context(|| cache.display().to_string())?;
    Ok(cache)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_named_the_same_in_every_folder() {
        let object = b"\0_RNvNtCs9OyBkVeT82L_6tracer3tls4uses\0_RNvCs1_4core3abc\0EVENTS\0";
        let plain: Vec<_> = names(object).iter().map(|name| without_hash(name)).collect();
        assert_eq!(plain, [Some("_RNvNtC6tracer3tls4uses".to_owned())]);
    }
}
