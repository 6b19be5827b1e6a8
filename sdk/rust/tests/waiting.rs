//! Hooks that wait: call-outs and timers, several at once, refusals, and what becomes of a hook whose client leaves.
//! It knows only what an author sees.

use std::cell::{Cell, RefCell};

use tidegate_sdk::prelude::*;

/// Asks a service who the client is, and counts what it does.
struct Waits {
    begun: Cell<u32>,
    done: Cell<u32>,
    order: RefCell<Vec<&'static str>>,
    gauge: Gauge,
}

/// What is kept for an exchange.
#[derive(Default)]
struct Kept {
    steps: Vec<&'static str>,
}

#[plugin]
impl Waits {
    fn configure(_config: serde_json::Value, define: &mut Define) -> Result<Self> {
        define.tick_every(Duration::from_secs(1))?;
        let gauge = define.gauge("waits.found").build()?;
        Ok(Self { begun: Cell::new(0), done: Cell::new(0), order: RefCell::default(), gauge })
    }

    async fn tick(&self, background: &Background) -> Result<()> {
        background.sleep(Duration::from_millis(1500)).await?;
        let answer = background.call_out(CallOut::get("users", "/count")).await?;
        self.gauge.set(answer.json::<f64>()?, []);
        Ok(())
    }

    async fn request_head(&self, exchange: &Exchange, kept: &mut Kept) -> Result<Flow> {
        self.begun.set(self.begun.get() + 1);
        kept.steps.push("begun");
        match exchange.path().to_str() {
            Some("/now") => return Ok(Flow::Continue),
            Some("/forever") => std::future::pending().await,
            Some("/hour") => exchange.sleep(Duration::from_secs(3601)).await?,
            Some("/nothing") => exchange.sleep(Duration::ZERO).await?,
            Some("/nobody") => drop(exchange.call_out(CallOut::get("nobody", "/")).await?),
            Some("/odd") => drop(exchange.call_out(CallOut::get("users", "no path")).await?),
            Some("/both") => return self.both(exchange).await,
            Some("/late") => {
                // Started together, and awaited in the order in which they are not answered.
                let (slow, fast) = join(exchange.call_out(CallOut::get("slow", "/")), async {
                    exchange.call_out(CallOut::get("users", "/")).await
                })
                .await;
                exchange.log_field("late", (slow?.status() + fast?.status()).to_string());
                return Ok(Flow::Continue);
            }
            _ => {}
        }
        let span = exchange.span().child("ask");
        let call_out = CallOut::post("users", "/who")
            .header("x-key", exchange.request_header("x-key").unwrap_or_default())
            .json(&json!({ "from": exchange.host().to_str() }))
            .timeout(Duration::from_millis(200));
        let answer = match exchange.call_out(call_out).await {
            Ok(answer) => answer,
            Err(CallOutError::Failed(reason)) => {
                exchange.log_field("why", &reason);
                return Ok(exchange.reply(Reply::new(503)));
            }
            Err(error) => return Err(error.into()),
        };
        span.attribute("status", answer.status());
        drop(span);
        kept.steps.push("asked");
        exchange.request_headers().set("x-user", answer.header("X-User").cloned().unwrap_or_default())?;
        exchange.log_field("roles", answer.all("x-role").count());
        self.done.set(self.done.get() + 1);
        Ok(Flow::Continue)
    }

    async fn response_head(&self, exchange: &Exchange) -> Result<()> {
        exchange.sleep(Duration::from_micros(1)).await?;
        exchange.response_headers().set("x-slept", "1")?;
        Ok(())
    }

    fn log(&self, exchange: &Exchange, kept: &mut Kept) {
        exchange.log_field("steps", kept.steps.join(","));
        exchange.log_field("begun", self.begun.get());
        exchange.log_field("done", self.done.get());
        exchange.log_field("order", self.order.borrow().join(","));
        exchange.log_field("ms", exchange.duration().as_secs_f64() * 1e3);
    }
}

impl Waits {
    async fn both(&self, exchange: &Exchange) -> Result<Flow> {
        let noted = |name: &'static str, millis| async move {
            exchange.sleep(Duration::from_millis(millis)).await?;
            self.order.borrow_mut().push(name);
            Ok::<_, Error>(millis)
        };
        let (slow, fast) = join(noted("slow", 30), noted("fast", 10)).await;
        let three = join_all([noted("a", 3), noted("b", 1), noted("c", 2)]).await;
        let three: Vec<_> = three.into_iter().collect::<Result<_>>()?;
        exchange.log_field("sum", slow? + fast? + three.iter().sum::<u64>());
        Ok(Flow::Continue)
    }
}

#[allow(clippy::unwrap_used, reason = "only tests call it")]
fn host() -> TestHost {
    let mut host = TestHost::configure::<Waits>(json!({})).unwrap();
    host.upstream("users", |request| match request.path() {
        "/count" => TestAnswer::new(200).body("7.5"),
        _ if request.header("x-key") == "slow" => TestAnswer::new(200).after(Duration::from_secs(1)),
        _ if request.header("x-key") == "broken" => {
            TestAnswer::failed("connect_failed").after(Duration::from_millis(3))
        }
        _ => {
            let who = TestAnswer::new(200)
                .header("x-user", format!("user {}", request.header("x-key").as_str().unwrap_or("?")));
            who.header("x-role", "a").header("x-role", "b").after(Duration::from_millis(50))
        }
    });
    host.upstream("slow", |_| TestAnswer::new(204).after(Duration::from_secs(2)));
    host
}

#[test]
fn a_hook_awaits_a_call_out_and_goes_on_with_its_answer() {
    let mut host = host();
    let exchange = host.exchange().host("shop").header("x-key", "k1").respond(200);
    assert_eq!(exchange.request_header("x-user"), "user k1");
    assert_eq!(exchange.log_field("roles"), 2);
    assert_eq!(exchange.log_field("steps"), "begun,asked");
    assert_eq!(exchange.child("ask").unwrap().attribute("status"), 200);
    assert!(exchange.child("ask").unwrap().is_ended());
    let asked = host.call_outs();
    assert_eq!((asked[0].upstream(), asked[0].method(), asked[0].path()), ("users", "POST", "/who"));
    assert_eq!(asked[0].body(), br#"{"from":"shop"}"#);
    assert_eq!(asked[0].header("content-type"), "application/json");
}

#[test]
fn waiting_takes_the_time_that_the_answer_takes() {
    let mut host = host();
    let exchange = host.exchange().duration(Duration::from_millis(4)).respond(200);
    // The answer after 50 ms, and a millisecond for the shortest sleep there is.
    assert_eq!(exchange.log_field("ms"), 55.0);
    assert_eq!(host.elapsed(), Duration::from_millis(51));
    assert_eq!(exchange.response_header("x-slept"), "1");
}

#[test]
fn an_answer_that_fails_or_comes_too_late_says_why() {
    let mut host = host();
    let broken = host.exchange().header("x-key", "broken").respond(200);
    assert_eq!((broken.status(), broken.log_field("why")), (503, "connect_failed".into()));
    let before = host.elapsed();
    let slow = host.exchange().header("x-key", "slow").respond(200);
    assert_eq!((slow.status(), slow.log_field("why")), (503, "timeout".into()));
    assert_eq!(host.elapsed() - before, Duration::from_millis(201));
}

#[test]
fn what_cannot_be_waited_for_is_an_error() {
    let mut host = host();
    let mut failure = |path: &str| host.exchange().get(path).respond(200).failure().map(str::to_owned);
    assert_eq!(failure("/nobody").unwrap(), "the call-out was refused: there is no upstream of that name");
    assert_eq!(failure("/odd").unwrap(), "the call-out was refused: it is not valid");
    assert_eq!(failure("/hour").unwrap(), "it is not valid");
    assert!(failure("/forever").unwrap().starts_with("a hook waits for something that the host knows nothing of"));
    assert_eq!(failure("/nothing"), None);
    host.deny("call_outs");
    assert_eq!(host.exchange().respond(200).failure(), Some("the call-out was refused: it is not allowed here"));
}

#[test]
fn a_hook_that_need_not_wait_does_not() {
    let mut host = host();
    assert_eq!(host.exchange().get("/now").respond(200).log_field("steps"), "begun");
    assert!(host.call_outs().is_empty());
}

#[test]
fn several_things_are_awaited_at_once() {
    let mut host = host();
    let exchange = host.exchange().get("/both").respond(200);
    assert_eq!(exchange.log_field("sum"), 46);
    assert_eq!(exchange.log_field("order"), "fast,slow,b,c,a");
    assert_eq!(host.elapsed(), Duration::from_millis(34));
    assert_eq!(host.exchange().get("/late").respond(200).log_field("late"), "404");
}

#[test]
fn a_hook_whose_client_leaves_is_dropped_where_it_waits() {
    let mut host = host();
    let exchange = host.exchange().leaves_after(Duration::from_millis(20)).respond(200);
    assert!(exchange.is_abandoned());
    assert_eq!(exchange.status(), 0);
    // The hook that takes note sees what the one that waited had kept.
    assert_eq!(exchange.log_field("steps"), "begun");
    assert_eq!((exchange.log_field("begun"), exchange.log_field("done")), (1.into(), 0.into()));
    assert!(exchange.child("ask").unwrap().is_ended());
    // The next one begins anew.
    assert_eq!(host.exchange().respond(200).log_field("steps"), "begun,asked");
}

#[test]
fn a_tick_may_wait_too() {
    let mut host = host();
    assert_eq!(host.tick(), None);
    assert_eq!(host.gauge("waits.found", []), Some(7.5));
    assert_eq!(host.elapsed(), Duration::from_millis(1500));
    host.upstream("users", |_| TestAnswer::new(200).body("seven"));
    assert!(host.tick().unwrap().starts_with("expected"), "{:?}", host.tick());
}
