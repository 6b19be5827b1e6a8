//! The plugin of the README, as it stands there, and its test.
//! It knows nothing but the prelude.

use tidegate_sdk::prelude::*;

#[derive(Deserialize)]
struct Config {
    tenants: Vec<String>,
}

struct Checkout {
    tenants: LabelSet,
    requests: Counter<1>,
    latency: Histogram<1>,
}

#[plugin]
impl Checkout {
    fn configure(config: Config, define: &mut Define) -> Result<Self> {
        Ok(Self {
            tenants: define.label_set("tenant", config.tenants)?, // closed set; all else counts as "other"
            requests: define.counter("checkout.requests").unit("{request}").labels(["tenant"]).build()?,
            latency: define
                .histogram("checkout.duration")
                .unit("s")
                .buckets([0.01, 0.1, 1.0])
                .labels(["tenant"])
                .build()?,
        })
    }

    fn log(&self, exchange: &Exchange) {
        let tenant = self.tenants.get(exchange.request_header("x-tenant"));
        self.requests.add(1, [tenant]);
        self.latency.record(exchange.duration(), [tenant]);
        exchange.log_field("tenant", tenant);
        exchange.span().attribute("app.tenant", tenant);
    }
}

#[test]
fn counts_a_known_tenant() {
    let mut host = TestHost::configure::<Checkout>(json!({ "tenants": ["acme"] })).unwrap();
    let exchange = host.exchange().get("/").header("x-tenant", "acme").respond(200);
    assert_eq!(host.counter("checkout.requests", [("tenant", "acme")]), 1);
    assert_eq!(exchange.log_field("tenant"), "acme");
}

#[test]
fn counts_an_unknown_tenant_as_other() {
    let mut host = TestHost::configure::<Checkout>(json!({ "tenants": ["acme"] })).unwrap();
    let exchange =
        host.exchange().get("/").header("x-tenant", b"\xff\x00").duration(Duration::from_millis(20)).respond(200);
    assert_eq!(host.counter("checkout.requests", [("tenant", "other")]), 1);
    assert_eq!(host.histogram("checkout.duration", [("tenant", "other")]).values, [0.02]);
    assert_eq!(exchange.span().attribute("app.tenant"), "other");
}

#[test]
fn a_wrong_configuration_is_refused_by_the_key() {
    let refused = TestHost::configure::<Checkout>(json!({ "tenants": ["acme", 7] })).unwrap_err();
    assert_eq!(refused.to_string(), "config.tenants[1]: invalid type: integer `7`, expected a string");
    let refused = TestHost::configure::<Checkout>(json!(null)).unwrap_err();
    assert_eq!(refused.to_string(), "config: missing field `tenants`");
}
