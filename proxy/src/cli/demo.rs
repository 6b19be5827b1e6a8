//! `tidegate demo`: an origin, the proxy, a collector and some load in one process, and a live view of what they produce.
//! It makes no number up: all that it shows was scraped, received over OTLP, or read from the access log.

mod report;
mod screen;
mod frame;
mod observed;
mod traffic;
mod origin;
mod receiver;
mod edge;
mod setup;
mod tail;
mod scrape;
mod window;
mod trace;
mod socket;

use std::cell::RefCell;
use std::io;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior};

use super::{Exit, print};
use crate::config::syntax::{Syntax as _, Time};
use crate::supervisor;
use edge::Edge;
use observed::Observed;
use screen::Screen;
use setup::{PREFERRED, Setup};
use tail::LogFile;
use traffic::Traffic;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// End after this time, say what arrived where, and exit with 1 if anything did not
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    time: Option<Duration>,
    /// Requests per second of sample traffic, 1 to 1000
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rate: u32,
}

/// Why the demo could not be shown.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("cannot start the demo: {0}")]
    Start(#[from] io::Error),
    #[error("the demo's own configuration is wrong:\n{0}")]
    Configuration(crate::config::Diagnostics),
    #[error(transparent)]
    Proxy(#[from] supervisor::Error),
    #[error("the proxy ended unexpectedly")]
    Ended,
}

/// How often new log lines are read.
const READ: Duration = Duration::from_millis(100);
/// How often the admin port is scraped.
const SCRAPE: Duration = Duration::from_secs(1);
/// How long requests under way may take at the end; the slowest of the sample traffic takes a quarter of a second.
const FINISH: Duration = Duration::from_secs(2);
/// How often to look for free ports once more.
const TRIES: u32 = 3;

pub(super) fn run(arguments: &Arguments) -> Exit {
    let shown = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(Default::default())
        .map_err(Error::Start)
        .and_then(|runtime| runtime.block_on(show(arguments)));
    match shown {
        Ok(exit) => exit,
        Err(error) => {
            print::err(&format!("error: {error}\n"));
            Exit::Failure
        }
    }
}

async fn show(arguments: &Arguments) -> Result<Exit, Error> {
    // Listened to from the start, so that Ctrl-C never leaves the temporary file behind.
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let rate = NonZeroU32::new(arguments.rate).unwrap_or(NonZeroU32::MIN);
    let observed = Rc::new(RefCell::new(Observed::default()));
    let origin = origin::start().await?;
    let collector = receiver::start(Rc::clone(&observed)).await?;
    let mut log = LogFile::create()?;
    let (setup, mut edge) = start(|| Setup::new(origin, collector, log.path(), rate, PREFERRED)).await?;
    let mut screen = Screen::new(frame::header(&edge.ready, &setup, rate));
    let traffic = Traffic::start(edge.address, rate);

    let end = arguments.time.map(|time| Instant::now() + time);
    let mut read = tokio::time::interval(READ);
    let mut scrape = tokio::time::interval(SCRAPE);
    read.set_missed_tick_behavior(MissedTickBehavior::Skip);
    scrape.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            () = until(end) => break,
            () = edge.ended() => return Err(edge.failure()),
            _ = read.tick() => {
                observed.borrow_mut().read(&mut log);
                screen.draw(&observed.borrow());
            }
            _ = scrape.tick() => fetch(&edge, &observed).await,
        }
    }
    observed.borrow_mut().read(&mut log);
    screen.finish(&observed.borrow());
    traffic.stop(FINISH).await;
    // The last scrape is taken before the proxy goes, the last spans and lines come while it does.
    fetch(&edge, &observed).await;
    edge.stop().await?;
    let mut observed = observed.borrow_mut();
    observed.read(&mut log);
    let report = report::Report::new(&observed);
    if !screen.say(&report.lines()) {
        return Ok(Exit::Failure);
    }
    // Who ends it by hand may do so before anything could arrive.
    Ok(if report.complete() || arguments.time.is_none() { Exit::Success } else { Exit::Failure })
}

/// Between the look at a port and its use the plugins are compiled; who took it meanwhile is seen at the next look.
async fn start(setup: impl Fn() -> Setup) -> Result<(Setup, Edge), Error> {
    let mut tries = 0;
    loop {
        let setup = setup();
        match Edge::start(setup.loaded()?).await {
            Err(Error::Proxy(supervisor::Error::Listen(_) | supervisor::Error::Admin(_))) if tries < TRIES => {
                tries += 1
            }
            edge => return Ok((setup, edge?)),
        }
    }
}

async fn fetch(edge: &Edge, observed: &RefCell<Observed>) {
    // A scrape that fails is one that did not arrive; the report says so when none did.
    if let Some(admin) = edge.ready.admin
        && let Ok(samples) = scrape::fetch(admin).await
    {
        observed.borrow_mut().scrape = Some(samples);
    }
}

async fn until(end: Option<Instant>) {
    match end {
        Some(end) => tokio::time::sleep_until(end).await,
        None => std::future::pending().await,
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    Time::parse(text).map(|time| time.0)
}
