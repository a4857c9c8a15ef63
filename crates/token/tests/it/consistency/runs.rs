//! Runs by seed, and a crash at every point of a run.

use super::*;
use unchoke_core::Seed;

/// The life of two channels of node 1 with node 0. What does not work because somebody has just come back is tried again.
fn lives(run: &mut Run) {
    let lane = Lane::new(0);
    let again = |run: &mut Run, what: &dyn Fn(&mut Run, ChannelId)| {
        for _ in 0..2 {
            let live = run.chain.channels.keys().copied().find(|id| run.nodes[1].payer.phase(id).is_some());
            live.into_iter().for_each(|id| what(run, id));
            run.work_and_sync();
        }
    };
    for is_mutual in [true, false] {
        run.open(1, 0, 150);
        run.work_and_sync();
        run.blocks(DEPTH + 1);
        run.connect((0, 1));
        run.work_and_sync();
        for base in [4, 2] {
            again(run, &|run, id| drop(run.nodes[1].payer.arm(id, lane, units(base), units(1))));
            for ticks in [1, 4, 3] {
                again(run, &|run, id| drop(run.nodes[1].payer.pay(id, lane, ticks)));
            }
        }
        again(run, &|run, id| {
            if is_mutual {
                let until = run.chain.height().saturating_add(4);
                let _ = run.nodes[0].payee.propose_close(id, until);
            } else if run.nodes[1].payer.phase(&id) == Some(PayerPhase::Open) {
                let close = ChannelClose { owner_address: run.owner(1), channel: id.as_bytes().to_vec() };
                let close = run.chain.sign(1, close);
                let _ = run.nodes[1].payer.close(close);
            }
        });
        for _ in 0..DISPUTE + 4 {
            run.blocks(1);
            run.work_and_sync();
            run.check();
        }
        let live: Vec<_> = run.chain.channels.keys().copied().collect();
        for id in live {
            let finish = ChannelFinish { owner_address: run.owner(0), channel: id.as_bytes().to_vec() };
            run.hand_in(0, finish);
        }
        run.blocks(DEPTH + 1);
        run.work_and_sync();
    }
    run.settle_all();
}

#[test]
fn a_crash_at_any_write_or_sync_costs_nobody_anything() {
    let mut kills = 0;
    for (node, role) in [(0, Role::Payee), (1, Role::Payer)] {
        for after in 0.. {
            let mut run = Run::bare();
            run.nodes[node].logs[role as usize].store.fail_after(after, Failure::Crash);
            lives(&mut run);
            if run.nodes[node].restarts == 0 {
                break;
            }
            kills += 1;
        }
    }
    assert!(kills > 100, "{kills} kills");
}

#[test]
fn a_crash_at_any_message_costs_nobody_anything() {
    for victim in [0, 1] {
        for after in 1.. {
            let mut run = Run::bare();
            run.kill = Some((after, victim));
            lives(&mut run);
            if run.kill.is_some() {
                assert!(after > 30, "{after} messages");
                break;
            }
        }
    }
}

#[test]
fn whatever_goes_wrong_nobody_loses_and_all_can_go_on() {
    for number in 0..300_u64 {
        // Half of the runs have a watcher.
        let mut bytes = vec![0; 1200 + number as usize % 2];
        Seed::new([7; 32]).derive(&number.to_string()).rng().fill(&mut bytes);
        if let Err(panic) = std::panic::catch_unwind(|| run(&bytes)) {
            eprintln!("sequence {number}");
            std::panic::resume_unwind(panic);
        }
    }
}
