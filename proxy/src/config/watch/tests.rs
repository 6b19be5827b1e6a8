//! What an operator does to files, and whether it is noticed.

use std::fs;
use std::path::PathBuf;

use super::{Watcher, fingerprints};

/// A directory of its own for each test.
fn directory(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("tidegate-watch-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

fn look(watcher: &mut Watcher) -> bool {
    watcher.notice(&fingerprints(&watcher.files))
}

#[tokio::test]
async fn a_change_is_reported_once_it_rests() {
    let file = directory("change").join("tidegate.yaml");
    fs::write(&file, "a").unwrap();
    let mut watcher = Watcher::new(vec![file.clone()]);
    assert!(!look(&mut watcher));
    fs::write(&file, "b").unwrap();
    assert!(!look(&mut watcher), "it may be half written");
    assert!(look(&mut watcher));
    assert!(!look(&mut watcher), "reported already");
    fs::write(&file, "b").unwrap();
    assert!(!look(&mut watcher) && !look(&mut watcher), "the same content is no change");
}

#[tokio::test]
async fn a_file_that_is_replaced_is_never_missing() {
    let directory = directory("replace");
    let file = directory.join("plugin.wasm");
    fs::write(&file, "a").unwrap();
    let mut watcher = Watcher::new(vec![file.clone()]);
    fs::remove_file(&file).unwrap();
    assert!(!look(&mut watcher) && !look(&mut watcher));
    fs::write(directory.join("new"), "b").unwrap();
    fs::rename(directory.join("new"), &file).unwrap();
    assert!(!look(&mut watcher));
    assert!(look(&mut watcher));
}

#[tokio::test]
async fn a_change_since_the_file_was_loaded_is_reported() {
    let file = directory("since").join("tidegate.yaml");
    let text = include_str!("../tests/ten_lines.yaml");
    fs::write(&file, text).unwrap();
    let loaded = crate::config::load(&file).unwrap();
    fs::write(&file, format!("{text}# more\n")).unwrap();
    let mut watcher = Watcher::of(&loaded);
    watcher.changed().await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_symbolic_link_that_is_swapped_is_followed() {
    let directory = directory("swap");
    for version in ["1", "2"] {
        fs::create_dir(directory.join(version)).unwrap();
        fs::write(directory.join(version).join("tidegate.yaml"), version).unwrap();
    }
    std::os::unix::fs::symlink("1", directory.join("data")).unwrap();
    let mut watcher = Watcher::new(vec![directory.join("data/tidegate.yaml")]);
    std::os::unix::fs::symlink("2", directory.join("swap")).unwrap();
    fs::rename(directory.join("swap"), directory.join("data")).unwrap();
    watcher.changed().await;
}

#[test]
fn a_pipe_or_a_device_in_the_place_of_a_file_is_not_waited_for() {
    // A file of its own kind each: one that gives nothing until somebody writes, one that never ends.
    let pipe = std::env::temp_dir().join(format!("tidegate-watch-pipe-{}", std::process::id()));
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    let seen = fingerprints(&[pipe.clone(), "/dev/zero".into()]);
    fs::remove_file(pipe).unwrap();
    assert_eq!(seen, [None, None]);
}
