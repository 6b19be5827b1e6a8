//! What of the cache is used, what is not, and that neither is the plugin's harm.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use super::*;

/// A folder of its own, gone at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("tidegate-compiled-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self(std::env::temp_dir().join(name))
    }

    fn cache(&self, engine: &wasmtime::Engine) -> Cache {
        Cache::open(&self.0, engine).unwrap()
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> = fs::read_dir(&self.0).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        files
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn module(number: i32) -> Vec<u8> {
    wat::parse_str(format!(r#"(module (func (export "f") (result i32) (i32.const {number})))"#)).unwrap()
}

/// What the module's function returns.
fn run(engine: &wasmtime::Engine, module: &Module) -> i32 {
    let mut store = wasmtime::Store::new(engine, ());
    let instance = wasmtime::Instance::new(&mut store, module, &[]).unwrap();
    instance.get_typed_func::<(), i32>(&mut store, "f").unwrap().call(&mut store, ()).unwrap()
}

#[test]
fn what_was_compiled_once_is_read_and_does_the_same() {
    let (scratch, engine) = (Scratch::new(), wasmtime::Engine::default());
    let load = |number| {
        let (module, cached) = scratch.cache(&engine).module(&engine, &module(number)).unwrap();
        (run(&engine, &module), cached)
    };
    assert_eq!([load(1), load(2), load(1), load(2)], [(1, false), (2, false), (1, true), (2, true)]);
    for file in scratch.files() {
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
    }
    assert_eq!(fs::metadata(&scratch.0).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn another_engine_has_modules_of_its_own() {
    let scratch = Scratch::new();
    let fast = wasmtime::Engine::default();
    let small = wasmtime::Engine::new(wasmtime::Config::new().cranelift_opt_level(wasmtime::OptLevel::SpeedAndSize));
    let small = small.unwrap();
    let cached = |engine| scratch.cache(engine).module(engine, &module(1)).unwrap().1;
    assert_eq!([cached(&fast), cached(&small), cached(&fast), cached(&small)], [false, false, true, true]);
    assert_eq!(scratch.files().len(), 2);
}

#[test]
fn what_is_not_as_it_was_written_is_compiled_anew_and_replaced() {
    let (scratch, engine) = (Scratch::new(), wasmtime::Engine::default());
    let cache = scratch.cache(&engine);
    let load = |number| {
        let (module, cached) = cache.module(&engine, &module(number)).unwrap();
        (run(&engine, &module), cached)
    };
    assert_eq!(load(1), (1, false));
    let file = scratch.files().remove(0);
    assert_eq!(load(2), (2, false));
    let other = scratch.files().into_iter().find(|found| *found != file).unwrap();
    let good = fs::read(&file).unwrap();
    let last = good.len() - 1;
    for (what, bytes) in [
        ("empty", Vec::new()),
        ("cut within the head", good[..40].to_vec()),
        ("cut", good[..last].to_vec()),
        ("longer", [good.as_slice(), b"x"].concat()),
        ("a bit of the code", [&good[..last], &[good[last] ^ 1]].concat()),
        ("a bit of the digest", [&good[..60], &[good[60] ^ 1], &good[61..]].concat()),
        ("another module's", fs::read(&other).unwrap()),
        ("a foreign file", b"{\"level\":\"info\"}\n".repeat(20)),
        ("wasmtime's own form", Module::new(&engine, module(1)).unwrap().serialize().unwrap()),
    ] {
        fs::write(&file, bytes).unwrap();
        assert_eq!(load(1), (1, false), "{what}");
        assert_eq!(load(1), (1, true), "{what}: it was not replaced");
    }
}

#[test]
fn what_others_could_have_written_is_not_run() {
    let (scratch, engine) = (Scratch::new(), wasmtime::Engine::default());
    let cache = scratch.cache(&engine);
    let cached = || cache.module(&engine, &module(1)).unwrap().1;
    assert!(!cached());
    let file = scratch.files().remove(0);
    for mode in [0o620, 0o602, 0o666] {
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        assert!(!cached(), "{mode:o}");
        assert!(cached(), "{mode:o}: it was not replaced");
    }
    // Only root can give a file away.
    if std::os::unix::fs::chown(&file, Some(12345), None).is_ok() {
        assert!(!cached());
        assert!(cached());
    }
    // A link, though to a good file.
    let elsewhere = scratch.0.join("elsewhere");
    fs::rename(&file, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
    assert!(!cached());
    assert!(cached());
    // A folder under the name cannot be replaced: no harm, no cache.
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert!(!cached());
    assert!(!cached());
    for mode in [0o770, 0o707, 0o777] {
        fs::set_permissions(&scratch.0, Permissions::from_mode(mode)).unwrap();
        let error = Cache::open(&scratch.0, &engine).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("can be written to by others"), "{mode:o}: {error}");
    }
}

#[test]
fn the_oldest_go_and_nothing_that_is_not_ours() {
    let scratch = Scratch::new();
    let folder = Folder::open(&scratch.0).unwrap().with_most(300);
    let name = |number: u8| entry::name(&Digest::of(&[&[number]]));
    let age = |name: &str, seconds| {
        let file = fs::File::options().write(true).open(scratch.0.join(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
    };
    let (abandoned, fresh) = (format!("{}.1-1.new", name(9)), format!("{}.1-2.new", name(9)));
    for foreign in ["notes.txt", "x.compiled", &abandoned, &fresh] {
        fs::write(scratch.0.join(foreign), [0; 1000]).unwrap();
        age(foreign, if foreign == fresh { 60 } else { 7200 });
    }
    for number in 1..=3 {
        folder.write(&name(number), &[&[0; 50], &[0; 50]]).unwrap();
        age(&name(number), 1000 - u64::from(number));
    }
    // Used, and so not the oldest any more.
    assert!(matches!(folder.read(&name(1)).unwrap(), Found::File(content) if content.len() == 100));
    folder.write(&name(4), &[&[0; 100]]).unwrap();
    let there = |name: &str| scratch.0.join(name).exists();
    assert_eq!([1, 2, 3, 4].map(|number| there(&name(number))), [true, false, true, true]);
    // Larger than all may be: as if there were no cache.
    folder.write(&name(5), &[&[0; 301]]).unwrap();
    assert!(!there(&name(5)) && there(&name(4)));
    assert_eq!(["notes.txt", "x.compiled", &abandoned, &fresh].map(there), [true, true, false, true]);
}

#[test]
fn a_folder_that_cannot_be_made_is_said() {
    let scratch = Scratch::new();
    fs::write(&scratch.0, "a file").unwrap();
    let error = Cache::open(&scratch.0.join("below"), &wasmtime::Engine::default()).err().unwrap();
    assert!(error.to_string().contains("cannot make or read the folder"), "{error}");
    fs::remove_file(&scratch.0).unwrap();
}
