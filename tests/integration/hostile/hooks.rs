//! A trap in each hook, and an endless loop, and what they cost: the exchange where something can be refused, and otherwise nothing but
//! the instance.
//! It knows every hook by the ABI's list, and the traffic that brings a plugin there.

use tidegate_abi::{Hook, Signature};
use tidegate_tests::{Answer, Body, Connection, Origin, Proxy, origin, proxy, request, wasm};

use super::bystander::Bystander;
use super::held::{DEADLINE, MARGIN, Machine};

/// What the client sees when the plugin fails closed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Cost {
    /// The exchange: 500.
    Exchange,
    /// The exchange, whose own end was an error anyway.
    FailedExchange,
    /// The body, or the connection: no whole answer.
    Answer,
    /// Nothing.
    Nothing,
}

fn cost(hook: Hook) -> Cost {
    match hook {
        Hook::RequestHead
        | Hook::RequestBody
        | Hook::RequestTrailers
        | Hook::UpstreamChosen
        | Hook::Retry
        | Hook::ResponseHead => Cost::Exchange,
        Hook::UpstreamError => Cost::FailedExchange,
        // One that is not loaded may be there to refuse connections.
        Hook::Configure | Hook::ConnectionOpen | Hook::ResponseBody | Hook::ResponseTrailers => Cost::Answer,
        Hook::HandOver
        | Hook::Tick
        | Hook::Log
        | Hook::ConnectionClose
        | Hook::LimitDecision
        | Hook::BreakerTransition => Cost::Nothing,
    }
}

/// What a hook does.
#[derive(Clone, Copy, Debug)]
struct Fault {
    body: &'static str,
    /// What it may take.
    deadline: &'static str,
    /// What it is called in the metric of calls, and in an answer.
    outcome: &'static str,
    reason: &'static str,
}

const TRAP: Fault = Fault { body: "unreachable", deadline: "5s", outcome: "trap", reason: "plugin_trap" };
const LOOP: Fault = Fault {
    body: "(loop $for_ever (br $for_ever)) unreachable",
    deadline: "5ms",
    outcome: "deadline",
    reason: "plugin_deadline",
};

/// A module with this one hook.
fn module(hook: Hook, body: &str) -> Vec<u8> {
    let kind = match hook.signature() {
        Signature::Plain => "(result i32)",
        Signature::Deciding => "(param i32) (result i32)",
        Signature::Noting => "(param i32)",
    };
    let ticks = if hook == Hook::Tick {
        "(import \"tidegate_v1\" \"tick_every\" (func $every (param i64) (result i32)))
         (func (export \"tidegate_configure\") (result i32) (call $every (i64.const 100)))"
    } else {
        ""
    };
    wasm(&format!("{ticks} (memory (export \"memory\") 1) (func (export \"{}\") {kind} {body})", hook.export()))
}

fn name(hook: Hook, closed: bool) -> String {
    format!("{}-{}", hook.name().replace('_', "-"), if closed { "closed" } else { "open" })
}

/// All hooks in one proxy: a route, a listener and a plugin for each, twice.
fn start(origin: &Origin, fault: Fault) -> Proxy {
    let mut builder = proxy();
    for hook in Hook::ALL {
        builder = builder.file(&format!("{}.wasm", hook.name()), module(hook, fault.body));
    }
    builder.config(config(origin, fault, 1)).start()
}

fn config(origin: &Origin, fault: Fault, generation: u32) -> String {
    let nowhere = "127.0.0.1:1";
    let (mut listeners, mut routes, mut plugins, mut fragile) =
        (String::new(), String::new(), String::new(), String::new());
    for hook in Hook::ALL {
        for closed in [false, true] {
            let name = name(hook, closed);
            // A listener for each, so that one connection is watched by one plugin.
            listeners += &format!("\n  - {{ name: {name}, address: \"127.0.0.1:0\", plugins: [{name}] }}");
            let upstream = match hook {
                Hook::UpstreamError | Hook::Retry => "gone",
                Hook::BreakerTransition => &name,
                _ => "app",
            };
            routes += &format!(
                "\n  - {{ name: {name}, match: {{ path_prefix: /{name} }}, rewrite: {{ prefix: / }}, upstream: {upstream}, limits: [many], plugins: [{name}] }}"
            );
            if hook == Hook::BreakerTransition {
                fragile += &format!(
                    "\n  {name}: {{ endpoints: [\"{}\"], breaker: {{ consecutive_failures: 1, open_for: 1h }} }}",
                    origin.address()
                );
            }
            plugins += &format!(
                "\n  {name}: {{ file: {}.wasm, config: {{ generation: {generation} }}, on_failure: {}, budget: {{ deadline: {} }} }}",
                hook.name(),
                if closed { "closed" } else { "open" },
                fault.deadline
            );
        }
    }
    format!(
        "workers: 1\nlisteners:\n  - {{ name: web, address: \"127.0.0.1:0\" }}{listeners}\nroutes:{routes}\n  - {{ name: good, upstream: app }}\n\
         upstreams:\n  app: {{ endpoints: [\"{address}\"] }}\n  gone: {{ endpoints: [\"{nowhere}\", \"127.0.0.1:2\"] }}{fragile}\n\
         limits: {{ many: {{ key: global, rate: 1000/s, burst: 1000 }} }}\nplugins:{plugins}\n",
        address = origin.address()
    )
}

/// A request that brings a plugin to this hook. `None` where there was no whole answer.
async fn ask(proxy: &Proxy, hook: Hook, closed: bool) -> Option<Answer> {
    let name = name(hook, closed);
    // Over HTTP/1.1 where the connection may be closed before a word: a handshake needs an answer.
    let address = proxy.listener(&name);
    let mut connection = match hook {
        Hook::Configure | Hook::ConnectionOpen => Connection::http1(address).await,
        _ => Connection::http2(address).await,
    };
    let path = match hook {
        Hook::BreakerTransition => "/status/503",
        Hook::ResponseBody | Hook::ResponseTrailers => "/trailers",
        // Answered when the body was read: an answer that has begun before could only break off.
        _ => "/",
    };
    let body = match hook {
        Hook::RequestBody | Hook::RequestTrailers => {
            let (feed, body) = Body::fed(2);
            tokio::spawn(async move {
                feed.send("hello").await;
                let trailers = [("x-sum".parse().unwrap(), "5".parse().unwrap())];
                feed.trailers(trailers.into_iter().collect()).await;
            });
            body
        }
        _ => Body::empty(),
    };
    let begun = connection
        .begin(
            request("POST", &format!("/{name}{path}"))
                .header("te", "trailers")
                .header("trailer", "x-sum")
                .body(body)
                .unwrap(),
        )
        .await;
    Answer::read(begun.ok()?).await.ok()
}

/// Brings each plugin to its hook, and looks at what that costs.
async fn costs(origin: &Origin, fault: Fault) -> Proxy {
    let proxy = start(origin, fault);
    let bystander = Bystander::start(proxy.listener("web"));
    for hook in Hook::ALL {
        for closed in [false, true] {
            let seen = ask(&proxy, hook, closed).await.map(|answer| (answer.status, answer.reason()));
            let plain = match hook {
                Hook::UpstreamError | Hook::Retry => Some((502, "connect_failed".to_owned())),
                Hook::BreakerTransition => Some((503, String::new())),
                _ => Some((200, String::new())),
            };
            let expected = match cost(hook) {
                _ if !closed => plain,
                Cost::Exchange | Cost::FailedExchange => Some((500, fault.reason.to_owned())),
                Cost::Answer => None,
                Cost::Nothing => plain,
            };
            assert_eq!(seen, expected, "{hook:?}, {}", if closed { "closed" } else { "open" });
        }
        bystander.goes_on();
    }
    // Another generation: what could not be handed over is not there, and nothing is lost but that.
    assert_eq!(proxy.reload(config(origin, fault, 2)).status(), 200);
    for hook in Hook::ALL.into_iter().filter(|hook| *hook != Hook::Configure) {
        for closed in [false, true] {
            let name = name(hook, closed);
            let labels = [("plugin", name.as_str()), ("hook", hook.name()), ("outcome", fault.outcome)];
            tidegate_tests::eventually(&format!("{name} has failed"), || {
                proxy.scrape().value("tidegate_plugin_calls_total", &labels) >= 1.0
            });
            let restarts = proxy.scrape().value("tidegate_plugin_restarts_total", &[("plugin", &name)]);
            assert!(restarts >= 1.0, "{name}: the instance that failed was not replaced");
            tidegate_tests::eventually(&format!("{name}: its fault is said"), || {
                proxy.diagnostics().iter().any(|line| line["plugin"] == name.as_str() && line["hook"] == hook.name())
            });
        }
    }
    for closed in [false, true] {
        let plugin = name(Hook::Configure, closed);
        assert_eq!(proxy.scrape().get("tidegate_plugin_state", &[("plugin", &plugin)]), Some(0.0));
    }
    bystander.end();
    proxy
}

#[tokio::test]
async fn a_trap_in_each_hook_costs_what_that_hook_can_refuse() {
    costs(&origin().start(), TRAP).await;
}

#[tokio::test]
async fn an_endless_loop_in_each_hook_costs_the_same_and_holds_the_worker_for_its_deadline() {
    let machine = Machine::watch();
    let proxy = costs(&origin().start(), LOOP).await;
    let worst = machine.worst();
    let scrape = proxy.scrape();
    for hook in Hook::ALL.into_iter().filter(|hook| *hook != Hook::Configure) {
        // On the average of its calls; of the two plugins, what the proxy did and not the machine.
        let held = [false, true].map(|closed| {
            let name = name(hook, closed);
            let of = |what| {
                let metric = format!("tidegate_plugin_hook_duration_seconds_{what}");
                scrape.value(&metric, &[("plugin", name.as_str()), ("hook", hook.name())])
            };
            of("sum") / of("count")
        });
        let least = held[0].min(held[1]);
        let most = (DEADLINE + MARGIN + worst).as_secs_f64();
        // After a standstill of the machine the clock of deadlines catches up, some milliseconds at a time: then it ends sooner.
        assert!((0.0005..=most).contains(&least), "{hook:?}: held for {held:?} s; this machine was {worst:?} late");
    }
}
