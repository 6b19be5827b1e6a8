//! Which endpoint gets how many requests.
//! It knows nothing of connections.

use super::*;

fn balancer(balance: Balance, weights: &[u32]) -> Balancer {
    Balancer::new(balance, weights.iter().map(|weight| NonZeroU32::new(*weight).unwrap()), 7)
}

fn picks(balancer: &Balancer, count: usize, avoid: Option<usize>) -> Vec<usize> {
    (0..count).map(|_| balancer.pick(|_| 0, avoid).unwrap()).collect()
}

#[test]
fn round_robin_spreads_weights_smoothly() {
    assert_eq!(picks(&balancer(Balance::RoundRobin, &[1, 1, 1]), 6, None), [0, 1, 2, 0, 1, 2]);
    assert_eq!(picks(&balancer(Balance::RoundRobin, &[5, 1, 1]), 7, None), [0, 0, 1, 0, 2, 0, 0]);
}

#[test]
fn the_endpoint_that_failed_is_avoided_where_there_is_another() {
    for balance in [Balance::RoundRobin, Balance::LeastRequests] {
        assert!(picks(&balancer(balance, &[9, 1, 1]), 20, Some(0)).iter().all(|picked| *picked != 0));
        assert_eq!(picks(&balancer(balance, &[1]), 2, Some(0)), [0, 0]);
        assert_eq!(balancer(balance, &[]).pick(|_| 0, None), None);
        let many = balancer(balance, &[1; 40]);
        assert!(picks(&many, 1000, Some(3)).iter().all(|picked| *picked != 3));
    }
}

#[test]
fn least_requests_fills_up_by_weight() {
    for weights in [vec![1, 1, 2], [1, 3].repeat(20)] {
        let balancer = balancer(Balance::LeastRequests, &weights);
        let mut busy = vec![0_usize; weights.len()];
        let total: u32 = weights.iter().sum();
        for _ in 0..total * 10 {
            let picked = balancer.pick(|position| busy[position], None).unwrap();
            busy[picked] += 1;
        }
        for (busy, weight) in busy.iter().zip(&weights) {
            let (least, most) = if weights.len() == 3 { (10, 10) } else { (5, 15) };
            assert!((least * weight..=most * weight).contains(&u32::try_from(*busy).unwrap()), "{busy} for {weight}");
        }
    }
}

#[test]
fn equals_take_turns() {
    let balancer = balancer(Balance::LeastRequests, &[1, 1, 1]);
    let mut picked = picks(&balancer, 3, None);
    picked.sort_unstable();
    assert_eq!(picked, [0, 1, 2]);
}
