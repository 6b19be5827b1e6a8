//! Compiles the shipped plugins to WebAssembly, so that `builtin:` works from the bare binary.
//! It knows no plugin by name: each folder of `plugins/` is one.
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::panic,
    reason = "a build script talks to cargo, and stops where it fails"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const TARGET: &str = "wasm32-wasip1";
/// Says how the build goes on where the target cannot be installed. One sentence, since that is all there is to do.
const INSTALL: &str = "install the WebAssembly target that the shipped plugins are compiled for";

fn main() {
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")).join("..");
    let out = PathBuf::from(variable("OUT_DIR"));
    for path in ["Cargo.toml", "Cargo.lock", "sdk/abi", "sdk/macros", "sdk/rust/Cargo.toml", "sdk/rust/src", "plugins"]
    {
        println!("cargo::rerun-if-changed={}", root.join(path).display());
    }
    println!("cargo::rerun-if-changed=build.rs");

    let result = ensure_target().and_then(|()| {
        let plugins = plugins(&root)?;
        compile(&root, &out, &plugins)?;
        embed(&out, &plugins)
    });
    if let Err(why) = result {
        println!("cargo::error={why}");
    }
}

/// The packages in `plugins/`, sorted: a folder is called as its package.
fn plugins(root: &Path) -> Result<Vec<String>, String> {
    let folder = root.join("plugins");
    let entries = fs::read_dir(&folder).map_err(|error| format!("cannot read `{}`: {error}", folder.display()))?;
    let mut names: Vec<_> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.path().join("Cargo.toml").is_file())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    Ok(names)
}

/// Installs the target where it is missing.
fn ensure_target() -> Result<(), String> {
    if is_installed() {
        return Ok(());
    }
    let toolchain = env::var("RUSTUP_TOOLCHAIN").ok();
    let mut arguments = vec!["target", "add", TARGET];
    if let Some(toolchain) = &toolchain {
        arguments.extend(["--toolchain", toolchain]);
    }
    let by_hand = format!("rustup {}", arguments.join(" "));
    println!("cargo::warning=the target {TARGET} is missing; installing it with `{by_hand}`");
    // With a backtrace behind it, the reason would not be the last line that it says.
    let mut rustup = Command::new("rustup");
    rustup.args(&arguments).env_remove("RUST_BACKTRACE").env_remove("RUST_LIB_BACKTRACE");
    match rustup.output() {
        Ok(done) if done.status.success() && is_installed() => Ok(()),
        Ok(done) => {
            let said = String::from_utf8_lossy(&done.stderr);
            let why = said
                .lines()
                .rev()
                .find(|line| !line.trim().is_empty())
                .unwrap_or("it gave no reason")
                .trim()
                .to_owned();
            Err(format!("{INSTALL} with `{by_hand}`, which this build tried in vain: {why}"))
        }
        Err(_) => Err(format!(
            "{INSTALL}, {TARGET}, with the tool that installed this Rust (there is no `rustup` on the path)"
        )),
    }
}

/// Whether there is a standard library for the target.
fn is_installed() -> bool {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let found = Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).output();
    found.is_ok_and(|found| found.status.success() && Path::new(String::from_utf8_lossy(&found.stdout).trim()).is_dir())
}

/// Compiles all plugins at once, in a folder of their own: the cargo that runs us holds the lock of the other.
fn compile(root: &Path, out: &Path, plugins: &[String]) -> Result<(), String> {
    let mut cargo = Command::new(variable("CARGO"));
    cargo.args(["build", "--quiet", "--locked", "--lib", "--profile", "plugin", "--target", TARGET]);
    cargo.arg("--manifest-path").arg(root.join("Cargo.toml")).arg("--target-dir").arg(out.join("target"));
    for plugin in plugins {
        cargo.args(["--package", plugin]);
    }
    // What was said for this build is not meant for that one: a sanitizer or a linker for the host, clippy in place of rustc.
    for name in [
        "CARGO_ENCODED_RUSTFLAGS",
        "RUSTFLAGS",
        "CARGO_BUILD_RUSTFLAGS",
        "CARGO_BUILD_TARGET",
        "CARGO_TARGET_DIR",
        "CARGO_BUILD_TARGET_DIR",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "CARGO_BUILD_RUSTC_WRAPPER",
        "CARGO_BUILD_RUSTC_WORKSPACE_WRAPPER",
        "CLIPPY_ARGS",
    ] {
        cargo.env_remove(name);
    }
    let done = cargo.output().map_err(|error| format!("cannot run cargo for the shipped plugins: {error}"))?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    // Every line of it, or cargo would show the first one only.
    said.lines().filter(|line| !line.is_empty()).for_each(|line| println!("cargo::warning={line}"));
    Err("the shipped plugins do not compile; the warnings above say why".to_owned())
}

/// Writes the table that `plugin/builtin.rs` includes.
fn embed(out: &Path, plugins: &[String]) -> Result<(), String> {
    let mut table = String::from("&[\n");
    for plugin in plugins {
        let module = out.join("target").join(TARGET).join("plugin").join(format!("{}.wasm", plugin.replace('-', "_")));
        if !module.is_file() {
            return Err(format!(
                "`plugins/{plugin}` gave no module; its crate needs `crate-type = [\"cdylib\", \"rlib\"]`"
            ));
        }
        table.push_str(&format!("    ({plugin:?}, include_bytes!({:?})),\n", module.display().to_string()));
    }
    table.push_str("]\n");
    let file = out.join("builtin_plugins.rs");
    fs::write(&file, table).map_err(|error| format!("cannot write `{}`: {error}", file.display()))
}

fn variable(name: &str) -> String {
    env::var(name).expect("cargo sets it for build scripts")
}
