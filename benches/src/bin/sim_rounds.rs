//! Events a second and bytes a host of the simulator, for 100,000 hosts that ping, or as many as the first argument says.

#![allow(clippy::print_stdout, reason = "the figures are what it is for")]

use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let hosts: u32 = std::env::args().nth(1).map_or(Ok(100_000), |it| it.parse())?;
    let before = resident();
    let now = Instant::now();
    let mut world = unchoke_benches::pings::world(hosts, now);
    let idle = resident();
    world.skip_to(Duration::from_secs(2));
    for round in 1..=5 {
        let (events, start) = (world.counters().events, seconds(now));
        world.skip_to(Duration::from_secs(2 + round * 4));
        let (events, time) = (world.counters().events - events, seconds(now) - start);
        println!("{events} events in {time:.2} s of one core: {:.0} a second", events as f64 / time);
    }
    let per_host = |from: Option<u64>, to: Option<u64>| Some(to?.saturating_sub(from?) / u64::from(hosts));
    println!(
        "bytes a host: {:?} before the first event, {:?} now",
        per_host(before, idle),
        per_host(before, resident())
    );
    println!("of these its protocol: {}", size_of::<unchoke_benches::pings::Pinger>());
    println!("trace {}", world.trace_hash());
    Ok(())
}

/// Seconds that this process has had a core, which other work on the machine does not change as it does those on the clock; where there
/// is no `/proc`, the latter.
fn seconds(begin: Instant) -> f64 {
    let scheduled = std::fs::read_to_string("/proc/self/schedstat").ok();
    let nanos = scheduled.and_then(|it| it.split(' ').next()?.parse::<u64>().ok());
    nanos.map_or_else(|| begin.elapsed(), Duration::from_nanos).as_secs_f64()
}

/// Bytes of memory that this process has; none where there is no `/proc`.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}
