//! Compiled plugins that are kept on disk: when they are used, when they are not, and that nothing depends on it.
//! It knows the folder and what `/status` says of it, not the form of the files.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tidegate_tests::{Origin, Proxy, Scratch, generation, get, origin, proxy};

fn start(origin: &Origin, cache: &str) -> Proxy {
    proxy()
        .file("p.wasm", generation("one").module())
        .config("routes: [{ name: app, upstream: app, plugins: [p, ids] }]")
        .config(format!("upstreams: {{ app: {{ endpoints: [\"{}\"] }} }}", origin.address()))
        .config("plugins: { p: { file: p.wasm }, ids: { builtin: correlation-id } }")
        .config(format!("plugin_cache: {cache}"))
        .start()
}

fn at(folder: &Path) -> String {
    format!("{{ directory: {} }}", folder.display())
}

/// Whether the plugins were taken from the cache; both, or neither. They work anyway.
async fn cached(proxy: &Proxy) -> bool {
    assert_eq!(get(proxy.address(), "/").await.header("x-generation"), "one");
    let plugins = proxy.ask_admin("GET", "/status", "").json()["plugins"].clone();
    assert_eq!(plugins["p"]["cached"], plugins["ids"]["cached"], "{plugins:#}");
    plugins["p"]["cached"].as_bool().unwrap()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// What it said at the level `warn` that has this word in it.
fn warnings(proxy: &Proxy, word: &str) -> usize {
    let said = proxy.diagnostics();
    said.iter().filter(|line| line["level"] == "warn" && line.to_string().contains(word)).count()
}

#[tokio::test]
async fn what_was_compiled_once_is_not_compiled_again() {
    let (origin, scratch) = (origin().start(), Scratch::new());
    let folder = scratch.path().join("not/there/yet");
    assert!(!cached(&start(&origin, &at(&folder))).await);
    assert_eq!(files(&folder).len(), 2);
    assert_eq!(mode(&folder), 0o700);
    assert!(files(&folder).iter().all(|file| mode(file) == 0o600));
    let second = start(&origin, &at(&folder));
    assert!(cached(&second).await);
    assert_eq!(warnings(&second, "compiled"), 0, "{}", second.stderr_text());
    // A reload uses it too: back and forth costs one compilation.
    for (module, cached) in [("two", false), ("one", true), ("two", true)] {
        second.write("p.wasm", generation(module).module());
        assert_eq!(second.ask_admin("POST", "/-/reload", "").status(), 200);
        assert_eq!(get(second.address(), "/").await.header("x-generation"), module);
        assert_eq!(second.ask_admin("GET", "/status", "").json()["plugins"]["p"]["cached"], cached, "{module}");
    }
}

#[tokio::test]
async fn files_that_are_not_as_they_were_written_are_replaced_and_named_once() {
    let (origin, scratch) = (origin().start(), Scratch::new());
    let folder = scratch.path().join("cache");
    assert!(!cached(&start(&origin, &at(&folder))).await);
    type Harm = fn(&Path);
    let harms: [(&str, Harm); 5] = [
        ("cut", |file| {
            let content = fs::read(file).unwrap();
            fs::write(file, &content[..content.len() / 2]).unwrap();
        }),
        ("a bit that fell over", |file| {
            let mut content = fs::read(file).unwrap();
            let middle = content.len() / 2;
            content[middle] ^= 4;
            fs::write(file, content).unwrap();
        }),
        ("foreign", |file| fs::write(file, "something else").unwrap()),
        ("empty", |file| fs::write(file, "").unwrap()),
        ("open to everybody", |file| fs::set_permissions(file, Permissions::from_mode(0o666)).unwrap()),
    ];
    for (what, harm) in harms {
        files(&folder).iter().for_each(|file| harm(file));
        let after = start(&origin, &at(&folder));
        assert!(!cached(&after).await, "{what}");
        assert_eq!(warnings(&after, "compiled anew"), 2, "{what}: {}", after.stderr_text());
        assert!(cached(&start(&origin, &at(&folder))).await, "{what}");
    }
}

#[tokio::test]
async fn a_folder_that_others_can_write_to_is_not_used() {
    let (origin, scratch) = (origin().start(), Scratch::new());
    let folder = scratch.path().join("cache");
    assert!(!cached(&start(&origin, &at(&folder))).await);
    fs::set_permissions(&folder, Permissions::from_mode(0o777)).unwrap();
    let proxy = start(&origin, &at(&folder));
    assert!(!cached(&proxy).await);
    assert_eq!(warnings(&proxy, "can be written to by others"), 1, "{}", proxy.stderr_text());
}

#[tokio::test]
async fn without_a_folder_everything_works_as_well() {
    let (origin, scratch) = (origin().start(), Scratch::new());
    let off = start(&origin, "false");
    assert!(!cached(&off).await);
    assert_eq!(warnings(&off, "compiled"), 0);
    // A file stands in the way.
    let file = scratch.write("file", "");
    let proxy = start(&origin, &at(&file.join("below")));
    assert!(!cached(&proxy).await);
    assert_eq!(warnings(&proxy, "compiled plugins are not kept"), 1, "{}", proxy.stderr_text());
}

#[tokio::test]
async fn a_check_leaves_nothing_behind() {
    let scratch = Scratch::new();
    scratch.write("p.wasm", generation("one").module());
    scratch.write(
        "tidegate.yaml",
        "listeners: [{ address: \"127.0.0.1:0\" }]\nroutes: [{ upstream: app, plugins: [p] }]\n\
         upstreams: { app: { endpoints: [\"127.0.0.1:1\"] } }\nplugins: { p: { file: p.wasm } }\n\
         plugin_cache: { directory: cache }\n",
    );
    let checked = tidegate_tests::run(scratch.path(), &["check", "-c", "tidegate.yaml"]);
    assert_eq!(checked.code(), 0, "{}", checked.text());
    assert!(!scratch.path().join("cache").exists());
}
