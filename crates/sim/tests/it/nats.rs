//! Who reaches whom through NATs and firewalls.

use crate::pinger::{MS, PingWorld, SECOND, Said, address, ping, pinger, plain_config, world};
use std::net::{IpAddr, SocketAddr};
use unchoke_sim::{HostConfig, HostId, NatConfig, NatId, NatKind, Notice};

/// A host behind a NAT at 203.0.113.`last`, with an inner address that is the same behind each.
fn behind(world: &mut PingWorld, kind: NatKind, last: u8) -> (HostId, NatId, SocketAddr) {
    let public = IpAddr::from([203, 0, 113, last]);
    let inner = SocketAddr::from(([192, 168, 1, 2], 6881));
    let (config, own) = match kind {
        NatKind::Firewall => (NatConfig::firewall(), SocketAddr::new(public, 6881)),
        _ => (NatConfig::new(kind, public), inner),
    };
    let nat = world.add_nat(&config);
    let mut host = HostConfig::new(own);
    host.nat = Some(nat);
    (world.add(host, pinger()), nat, SocketAddr::new(public, 6881))
}

/// Whether a ping gets there within a second; where it came from, as seen there.
fn reaches(world: &mut PingWorld, from: HostId, address: SocketAddr, target: HostId) -> Option<SocketAddr> {
    ping(world, from, address);
    let mut seen = None;
    world.run_until(world.elapsed() + SECOND, |_, notice| {
        if let Notice::Event { host, event: Said::Ping(remote) } = notice
            && host == target
        {
            seen = Some(remote);
        }
    });
    seen
}

#[test]
fn each_kind_lets_in_whom_it_should_before_and_after_it_sent_and_after_the_timeout() {
    for kind in NatKind::ALL {
        let mut world = world(1, plain_config());
        let (inside, _, _) = behind(&mut world, kind, 1);
        let friend = world.add(HostConfig::new(address(1)), pinger());
        // A second socket of the friend's machine, as another host with the same IP address.
        let other_port = world.add(HostConfig::new(SocketAddr::new(address(1).ip(), 7000)), pinger());
        let stranger = world.add(HostConfig::new(address(2)), pinger());
        let guess = SocketAddr::from(([203, 0, 113, 1], 6881));
        for from in [friend, other_port, stranger] {
            assert_eq!(reaches(&mut world, from, guess, inside), None, "{kind:?} before it sent");
        }
        let seen = reaches(&mut world, inside, address(1), friend).expect("nothing stops what goes out");
        assert_eq!(seen.ip(), guess.ip(), "{kind:?}");
        let open = [friend, other_port, stranger].map(|from| reaches(&mut world, from, seen, inside).is_some());
        let wanted = match kind {
            NatKind::FullCone => [true, true, true],
            NatKind::Restricted => [true, true, false],
            _ => [true, false, false],
        };
        assert_eq!(open, wanted, "{kind:?}");
        // The pongs have kept the mapping alive; then nothing goes out for longer than 90 s.
        world.skip_to(world.elapsed() + 95 * SECOND);
        let open = [friend, other_port, stranger].map(|from| reaches(&mut world, from, seen, inside).is_some());
        assert_eq!(open, [false; 3], "{kind:?} after the timeout");
    }
}

#[test]
fn holes_can_be_punched_unless_a_symmetric_side_meets_one_that_looks_at_ports() {
    use NatKind::{FullCone, PortRestricted, Restricted, Symmetric};
    for (one, other, wanted) in [
        (FullCone, Symmetric, true),
        (Restricted, Restricted, true),
        (Restricted, Symmetric, true),
        (PortRestricted, PortRestricted, true),
        (PortRestricted, Symmetric, false),
        (Symmetric, PortRestricted, false),
        (Symmetric, Symmetric, false),
        (NatKind::Firewall, NatKind::Firewall, true),
    ] {
        let mut world = world(1, plain_config());
        let (left, _, _) = behind(&mut world, one, 1);
        let (right, _, _) = behind(&mut world, other, 2);
        let meeting = world.add(HostConfig::new(address(1)), pinger());
        // Both learn from a third host how they are seen, and then ping each other at the same time, twice.
        let left_seen = reaches(&mut world, left, address(1), meeting).unwrap();
        let right_seen = reaches(&mut world, right, address(1), meeting).unwrap();
        let mut pongs = 0;
        for _ in 0..2 {
            ping(&mut world, left, right_seen);
            ping(&mut world, right, left_seen);
            world.run_until(world.elapsed() + SECOND, |_, notice| {
                let is_pong = matches!(notice, Notice::Event { event: Said::Pong(_), .. });
                pongs += u32::from(is_pong);
            });
        }
        assert_eq!(pongs > 0, wanted, "{one:?} and {other:?}");
    }
}

#[test]
fn hosts_behind_one_nat_reach_each_other_inside_and_not_by_hairpin() {
    let mut world = world(1, plain_config());
    let (one, nat, public) = behind(&mut world, NatKind::FullCone, 1);
    let inner = SocketAddr::from(([192, 168, 1, 3], 6881));
    let mut config = HostConfig::new(inner);
    config.nat = Some(nat);
    let two = world.add(config, pinger());
    let outside = world.add(HostConfig::new(address(1)), pinger());
    let seen_one = reaches(&mut world, one, address(1), outside).unwrap();
    let seen_two = reaches(&mut world, two, address(1), outside).unwrap();
    assert_eq!(seen_one, public);
    assert_eq!(seen_one.ip(), seen_two.ip());
    assert_ne!(seen_one, seen_two);
    assert_eq!(reaches(&mut world, outside, seen_two, two), Some(address(1)));
    assert_eq!(reaches(&mut world, one, inner, two), Some(SocketAddr::from(([192, 168, 1, 2], 6881))));
    assert_eq!(reaches(&mut world, one, seen_two, two), None);
}

#[test]
fn one_inner_address_behind_two_nats_is_two_hosts() {
    let mut world = world(1, plain_config());
    let (one, _, _) = behind(&mut world, NatKind::FullCone, 1);
    let (two, _, _) = behind(&mut world, NatKind::FullCone, 2);
    let outside = world.add(HostConfig::new(address(1)), pinger());
    let first = reaches(&mut world, one, address(1), outside).unwrap();
    let second = reaches(&mut world, two, address(1), outside).unwrap();
    assert_eq!(reaches(&mut world, outside, first, one), Some(address(1)));
    assert_eq!(reaches(&mut world, outside, second, two), Some(address(1)));
}

#[test]
fn a_forwarded_port_lets_everyone_in_until_the_nat_forgets() {
    for kind in NatKind::ALL {
        let mut world = world(1, plain_config());
        let (inside, nat, public) = behind(&mut world, kind, 1);
        let own = world.addresses(inside)[0];
        world.forward_port(nat, public.port(), own);
        let stranger = world.add(HostConfig::new(address(2)), pinger());
        world.skip_to(1000 * SECOND);
        assert!(reaches(&mut world, stranger, public, inside).is_some(), "{kind:?}");
        assert_eq!(reaches(&mut world, inside, address(2), stranger), Some(public), "{kind:?}");
        world.reset_nat(nat);
        assert!(reaches(&mut world, stranger, public, inside).is_none(), "{kind:?}");
        assert!(world.elapsed() > 1000 * SECOND + 3 * MS);
    }
}
