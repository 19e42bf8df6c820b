//! Programs of the Python package index, installed into a folder outside the clone.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

const PACKAGES: [&str; 3] = ["moto[server]==5.2.5", "duckdb==2.0.0", "pyarrow==26.0.1"];

/// A Python that has the packages; none, and the reason printed, where they cannot be installed.
pub(crate) fn python() -> Option<PathBuf> {
    static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match PYTHON.get_or_init(install) {
        Ok(python) => Some(python.clone()),
        Err(reason) => {
            println!("skipped: {} cannot be installed: {reason}", PACKAGES.join(", "));
            None
        }
    }
}

fn install() -> Result<PathBuf, String> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let folder = cache.ok_or("there is no HOME")?.join("metaflow/python-storage");
    let fail = |error: std::io::Error| error.to_string();
    fs::create_dir_all(&folder).map_err(fail)?;
    // One installs, others wait for it.
    let lock = File::create(folder.join("LOCK")).map_err(fail)?;
    lock.lock().map_err(fail)?;
    let (python, done) = (folder.join("bin/python"), folder.join("INSTALLED"));
    if fs::read_to_string(&done).is_ok_and(|text| text == PACKAGES.join("\n")) {
        return Ok(python);
    }
    let run = |command: &mut Command| match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or("no reason").to_owned()),
        Err(error) => Err(error.to_string()),
    };
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(PACKAGES))?;
    fs::write(done, PACKAGES.join("\n")).map_err(fail)?;
    Ok(python)
}
