//! One instance that serves several exchanges while some of their hooks wait.

use std::cell::RefCell;
use std::rc::Rc;

use tidegate_abi::{Hook, Verdict};

use super::Instance;
use crate::native::within;
use crate::prelude::*;
use crate::test::memory::{Facts, Memory, SpanFacts};

/// Waits as long as the request's host says, and counts in its state.
struct Waits {
    order: RefCell<Vec<String>>,
}

#[plugin]
impl Waits {
    fn configure(_config: serde_json::Value, _define: &mut Define) -> Result<Self> {
        Ok(Self { order: RefCell::default() })
    }

    async fn request_head(&self, exchange: &Exchange, hooks: &mut u32) -> Result<()> {
        *hooks += 1;
        let path = exchange.path().to_string();
        let millis = path.trim_start_matches('/').parse()?;
        exchange.sleep(Duration::from_millis(millis)).await?;
        *hooks += 1;
        self.order.borrow_mut().push(format!("{path} then {}", exchange.path()));
        Ok(())
    }

    fn hand_over(&self) -> String {
        "what there is".to_owned()
    }

    fn log(&self, exchange: &Exchange, hooks: &mut u32) {
        exchange.log_field("hooks", *hooks);
        exchange.log_field("order", self.order.borrow().join(","));
    }
}

struct World {
    memory: Rc<RefCell<Memory>>,
    instance: Instance<Waits>,
}

impl World {
    fn new() -> Self {
        let memory = Memory { config: b"{}".to_vec(), hook: Some(Hook::Configure), ..Memory::default() };
        let world = Self { memory: Rc::new(RefCell::new(memory)), instance: Instance::new() };
        assert_eq!(within(&world.memory, || world.instance.configure()), Verdict::Continue as i32);
        world
    }

    /// Makes this the exchange that the host is busy with.
    fn enter(&self, slot: i32, hook: Hook) {
        // Nobody waits for no time at all.
        let texts = vec![(tidegate_abi::Text::Path, format!("/{}", slot.max(1)).into_bytes())];
        let facts = Facts { texts, spans: vec![SpanFacts::default()], ..Facts::default() };
        let mut memory = self.memory.borrow_mut();
        (memory.exchange, memory.hook, memory.platform.slot) = (Some(facts), Some(hook), slot);
    }

    fn call(&self, hook: Hook, slot: i32) -> i32 {
        self.enter(slot, hook);
        within(&self.memory, || self.instance.call(hook, slot))
    }

    fn resume(&self, slot: i32) -> i32 {
        self.enter(slot, Hook::RequestHead);
        let (ticket, _) = self.memory.borrow_mut().platform.next_answer(slot).unwrap();
        within(&self.memory, || self.instance.resume(slot, ticket))
    }

    fn release(&self, slot: i32) {
        within(&self.memory, || self.instance.release(slot));
    }

    fn field(&self, key: &str) -> crate::test::Seen {
        let memory = self.memory.borrow();
        let fields = &memory.exchange.as_ref().unwrap().fields;
        fields.iter().find(|(known, _)| known == key).map(|(_, value)| value.clone()).unwrap_or_default()
    }
}

#[test]
fn exchanges_wait_in_one_instance_and_each_goes_on_as_itself() {
    let world = World::new();
    for slot in 1..=100 {
        assert_eq!(world.call(Hook::RequestHead, slot), Verdict::Pending as i32);
    }
    for slot in (1..=100).rev() {
        assert_eq!(world.resume(slot), Verdict::Continue as i32);
    }
    world.call(Hook::Log, 7);
    assert_eq!(world.field("hooks"), 2);
    let order: Vec<_> = (1..=100).rev().map(|slot| format!("/{slot} then /{slot}")).collect();
    assert_eq!(world.field("order"), &*order.join(","));
}

#[test]
fn who_waits_goes_on_although_the_plugin_hands_over() {
    let world = World::new();
    assert_eq!(world.call(Hook::RequestHead, 0), Verdict::Pending as i32);
    world.memory.borrow_mut().hook = Some(Hook::HandOver);
    assert_eq!(within(&world.memory, || world.instance.call(Hook::HandOver, 0)), Verdict::Continue as i32);
    assert_eq!(world.resume(0), Verdict::Continue as i32);
    world.call(Hook::Log, 0);
    assert_eq!(world.field("hooks"), 2);
}

#[test]
fn a_hook_that_is_released_while_it_waits_is_gone() {
    let world = World::new();
    assert_eq!(world.call(Hook::RequestHead, 5), Verdict::Pending as i32);
    world.release(5);
    // The host does not do this; a guest that is resumed all the same fails, and does not go on with something else.
    assert_eq!(world.resume(5), Verdict::Fail as i32);
    assert_eq!(world.memory.borrow_mut().refusal.take().unwrap(), "a hook was resumed, but none waits");
    assert_eq!(world.call(Hook::RequestHead, 5), Verdict::Pending as i32);
    assert_eq!(world.resume(5), Verdict::Continue as i32);
    world.call(Hook::Log, 5);
    assert_eq!(world.field("hooks"), 2, "the state began anew");
}

#[test]
fn the_last_hook_of_an_exchange_ends_the_one_that_waits() {
    let world = World::new();
    world.call(Hook::RequestHead, 3);
    world.call(Hook::Log, 3);
    assert_eq!(world.field("hooks"), 1);
    assert_eq!(world.resume(3), Verdict::Fail as i32);
}
