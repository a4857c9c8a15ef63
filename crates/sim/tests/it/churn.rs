//! Hosts that come and go.

use crate::pinger::{MS, PingWorld, Pinger, SECOND, address, ping, pinger, plain_config, world};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use unchoke_sim::{Churn, DatagramHost, Distribution, HostConfig, HostId, Memory, Notice};

const HOUR: Duration = Duration::from_secs(3600);

/// The lengths of the sessions and of the pauses between them.
fn lengths(world: &mut PingWorld, until: Duration) -> (Vec<Duration>, Vec<Duration>) {
    let mut since: BTreeMap<HostId, Duration> = BTreeMap::new();
    let (mut sessions, mut pauses) = (Vec::new(), Vec::new());
    world.run_until(until, |world, notice| {
        let (list, host) = match notice {
            Notice::Joined(host) => (&mut pauses, host),
            Notice::Left(host) => (&mut sessions, host),
            _ => return,
        };
        let now = world.elapsed();
        if let Some(since) = since.insert(host, now) {
            list.push(now - since);
        }
    });
    (sessions, pauses)
}

#[test]
fn sessions_have_the_median_of_their_distribution() {
    let weibull = Distribution::Weibull { shape: 0.43, scale: HOUR };
    let exponential = Distribution::Exponential { mean: HOUR };
    let mut world = world(1, plain_config());
    let churn = world.add_churn(Churn::new(weibull, exponential));
    for n in 0..2000_u16 {
        let mut config = HostConfig::new(SocketAddr::from(([10, 0, (n >> 8) as u8, n as u8], 6881)));
        config.churn = Some(churn);
        world.add(config, pinger());
    }
    // Long enough that the sessions that have not ended are few.
    let (mut sessions, mut pauses) = lengths(&mut world, 3000 * HOUR);
    sessions.sort();
    pauses.sort();
    let median = |it: &[Duration]| it[it.len() / 2].as_secs_f64() / 3600.0;
    assert!(sessions.len() > 1_000_000, "{}", sessions.len());
    assert!((median(&sessions) / 2f64.ln().powf(1.0 / 0.43) - 1.0).abs() < 0.02, "{}", median(&sessions));
    assert!((median(&pauses) / 2f64.ln() - 1.0).abs() < 0.02, "{}", median(&pauses));
}

#[test]
fn a_trace_is_followed() {
    let trace = |seconds: &[u64]| {
        Distribution::Trace(seconds.iter().map(|it| Duration::from_secs(*it)).collect::<Arc<[Duration]>>())
    };
    let mut world = world(1, plain_config());
    let mut config = HostConfig::new(address(1));
    config.churn = Some(world.add_churn(Churn::new(trace(&[10, 20, 30]), trace(&[1, 2]))));
    world.add(config, pinger());
    let (sessions, pauses) = lengths(&mut world, 70 * SECOND);
    assert_eq!(sessions, [10 * SECOND, 20 * SECOND, 30 * SECOND]);
    assert_eq!(pauses, [SECOND, 2 * SECOND, SECOND]);
}

#[test]
fn the_factory_makes_each_session_from_its_own_seed_and_what_was_kept() {
    for (memory, previous) in [(Memory::Lost, [false, false]), (Memory::Kept, [false, true])] {
        let births = Rc::new(RefCell::new(Vec::new()));
        let noted = Rc::clone(&births);
        let mut world = world(1, plain_config());
        world.set_factory(move |birth| {
            let number = birth.seed.rng().next_u64();
            noted.borrow_mut().push((birth.host, birth.session, birth.previous.is_some(), number));
            birth.previous.unwrap_or_else(|| DatagramHost::new(Pinger::default()))
        });
        let mut churn = Churn::new(Distribution::Constant(10 * SECOND), Distribution::Constant(SECOND));
        churn.memory = memory;
        let mut config = HostConfig::new(address(1));
        config.churn = Some(world.add_churn(churn));
        let one = world.spawn(config);
        world.skip_to(10 * SECOND + MS);
        assert!(!world.is_up(one));
        assert_eq!(world.host(one).is_some(), memory == Memory::Kept);
        world.skip_to(12 * SECOND);
        assert!(world.is_up(one));
        let births = births.borrow();
        assert_eq!(births.iter().map(|it| (it.0, it.1)).collect::<Vec<_>>(), [(one, 0), (one, 1)]);
        assert_eq!([births[0].2, births[1].2], previous);
        assert_ne!(births[0].3, births[1].3);
    }
}

#[test]
fn who_is_down_gets_nothing_and_has_no_timeouts() {
    let mut world = world(1, plain_config());
    let one = world.add(HostConfig::new(address(1)), pinger());
    let mut beating = pinger();
    beating.protocol.beat = Some((vec![address(1)], 100 * MS, world.now()));
    let two = world.add(HostConfig::new(address(2)), beating);
    world.skip_to(SECOND);
    let sent = world.traffic(two).datagrams_sent;
    assert_eq!(sent, 11);
    ping(&mut world, one, address(2));
    world.leave(two);
    world.skip_to(10 * SECOND);
    assert_eq!(world.traffic(two).datagrams_sent, sent);
    assert!(world.counters().to_down > 0);
    assert!(world.with(two, |_, _| ()).is_none());
    world.join(two);
    world.skip_to(11 * SECOND);
    assert!(world.traffic(two).datagrams_sent > sent);
}

#[test]
fn marks_and_scripts_come_in_the_order_in_which_they_were_set() {
    let mut world = world(1, plain_config());
    world.mark(2 * SECOND, 20);
    world.mark(SECOND, 10);
    world.at(SECOND, |world| world.mark(world.elapsed(), 12));
    world.mark(SECOND, 11);
    let mut marks = Vec::new();
    while let Some(notice) = world.next(3 * SECOND) {
        let Notice::Mark(number) = notice else { continue };
        marks.push((world.elapsed(), number));
    }
    assert_eq!(marks, [(SECOND, 10), (SECOND, 11), (SECOND, 12), (2 * SECOND, 20)]);
    assert_eq!(world.elapsed(), 3 * SECOND);
}

/// Five hundred hosts that begin offline, and how many of them are up at these times.
fn up(churn: Churn, times: &[Duration]) -> Vec<usize> {
    let mut world = world(1, plain_config());
    world.set_factory(|_| pinger());
    let churn = world.add_churn(churn);
    for n in 0..500_u16 {
        let mut config = HostConfig::new(SocketAddr::from(([10, 0, (n >> 8) as u8, n as u8], 6881)));
        config.churn = Some(churn);
        let _ = world.add_offline(config);
    }
    let mut at = |time: &Duration| {
        world.skip_to(*time);
        world.hosts().filter(|id| world.is_up(*id)).count()
    };
    times.iter().map(&mut at).collect()
}

#[test]
fn who_begins_offline_comes_within_a_pause() {
    let churn = Churn::new(Distribution::Constant(1000 * SECOND), Distribution::Constant(10 * SECOND));
    let up = up(churn, &[Duration::ZERO, 5 * SECOND, 10 * SECOND]);
    assert!(up[0] == 0 && (200..300).contains(&up[1]) && up[2] == 500, "{up:?}");
}

#[test]
fn in_the_long_run_half_of_a_dht_is_up() {
    let up = up(Churn::dht(), &[20_000 * HOUR]);
    assert!((200..300).contains(&up[0]), "{up:?}");
}
