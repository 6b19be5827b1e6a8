//! A client that wants nothing of hostile plugins: it asks for another route, over and over, from the same worker.
//! It knows nothing of what happens beside it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use tidegate_tests::{eventually, raw};

/// A client on a thread of its own, and a connection of its own.
pub struct Bystander {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    thread: Option<JoinHandle<Result<(), String>>>,
}

impl Bystander {
    pub fn start(address: SocketAddr) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&answered));
        let thread = std::thread::spawn(move || {
            let mut client = raw(address);
            while !stopped.load(Ordering::SeqCst) {
                let answer = client.send("GET /good HTTP/1.1\r\nhost: a.test\r\n\r\n").message();
                match answer {
                    Some(answer) if answer.status() == 200 => count.fetch_add(1, Ordering::SeqCst),
                    Some(answer) => return Err(format!("was answered {}", answer.head)),
                    None => return Err("lost its connection".to_owned()),
                };
                // It shall be there all the time, not take all of it.
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            Ok(())
        });
        Self { stop, answered, thread: Some(thread) }
    }

    /// Answers so far.
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }

    /// Waits for some more answers: the worker serves, whatever else it does.
    #[track_caller]
    pub fn goes_on(&self) {
        let before = self.answered();
        eventually("the bystander is answered", || self.answered() >= before + 5);
    }

    /// Ends it: every one of its requests was answered with 200. Returns how many there were.
    #[track_caller]
    pub fn end(mut self) -> usize {
        self.goes_on();
        self.stop.store(true, Ordering::SeqCst);
        let ended = self.thread.take().map(JoinHandle::join);
        match ended {
            Some(Ok(Ok(()))) | None => self.answered(),
            Some(Ok(Err(what))) => panic!("the bystander {what}"),
            Some(Err(_)) => panic!("the bystander waited in vain"),
        }
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}
