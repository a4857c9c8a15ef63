//! What the two processes tell, and what is told of the whole run.

use crate::side::Name;
use serde_json::{Value, json};
use std::fmt::Display;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};
use unchoke_examples::{Failure, Percent, say};

/// A line of one of the processes.
pub(crate) type Told = (Name, Value);

/// How far the two are. Places are those of [`Name::place`].
pub(crate) struct Story {
    ticks: u64,
    limit: Duration,
    is_json: bool,
    begun: Instant,
    percent: Percent,
    kills: u64,
    /// What each was paid so far. A kill may take some of it back.
    earned: [u64; 2],
    /// What each has paid and was paid in all, once both channels are over.
    settled: [Option<(u64, u64)>; 2],
}

impl Story {
    pub(crate) fn new(ticks: u64, limit: Duration, is_json: bool) -> Self {
        let (begun, percent) = (Instant::now(), Percent::named("paid"));
        Self { ticks, limit, is_json, begun, percent, kills: 0, earned: [0; 2], settled: [None; 2] }
    }

    /// What both are to be paid together.
    pub(crate) fn all(&self) -> u64 {
        let all = Name::ALL.map(|name| self.ticks.saturating_mul(name.tick_value()));
        all[0].saturating_add(all[1])
    }

    /// Until both were paid so much together. With little it may be over before: then the answer is no.
    pub(crate) fn wait(&mut self, lines: &Receiver<Told>, units: u64) -> Result<bool, Failure> {
        while self.earned[0].saturating_add(self.earned[1]) < units && self.settled == [None; 2] {
            self.hear(lines)?;
        }
        Ok(self.settled == [None; 2])
    }

    /// Until both say that both channels are over. Tells what each has paid.
    pub(crate) fn settled(&mut self, lines: &Receiver<Told>) -> Result<[u64; 2], Failure> {
        loop {
            if let [Some(alice), Some(bob)] = self.settled {
                // Who pays and who is paid have each asked the ledger.
                let is_same = alice == (bob.1, bob.0);
                let error = || Failure::Failed(format!("of what was paid and earned, one says {alice:?}, one {bob:?}"));
                return if is_same { Ok([alice.0, bob.0]) } else { Err(error()) };
            }
            self.hear(lines)?;
        }
    }

    pub(crate) const fn handle_kill(&mut self) {
        self.kills = self.kills.saturating_add(1);
    }

    fn hear(&mut self, lines: &Receiver<Told>) -> Result<(), Failure> {
        let left = self.limit.saturating_sub(self.begun.elapsed());
        let limit = || Failure::Failed(format!("not done after {} seconds (--limit)", self.limit.as_secs()));
        let (name, line) = lines.recv_timeout(left).map_err(|_| limit())?;
        if let Some(error) = line["error"].as_str() {
            return Err(Failure::Failed(format!("{}: {error}", name.as_str())));
        }
        if let Some(earned) = line["earned"].as_u64() {
            self.earned[name.place()] = earned;
            self.percent.show(self.earned[0].saturating_add(self.earned[1]), self.all());
        }
        if let (Some(paid), Some(earned)) = (line["paid"].as_u64(), line["settled"].as_u64()) {
            self.settled[name.place()] = Some((paid, earned));
        }
        Ok(())
    }

    pub(crate) fn note(&self, what: impl Display) -> Result<(), Failure> {
        if self.is_json {
            return Ok(());
        }
        say(format_args!("{:6.2} s  {what}", self.begun.elapsed().as_secs_f64()))
    }

    /// Whether the balances are those that follow from what each has paid.
    pub(crate) fn finish(&self, before: [u64; 2], after: [u64; 2], paid: [u64; 2]) -> Result<(), Failure> {
        let adds_up = Name::ALL.into_iter().all(|name| {
            let [own, other] = [name, name.other()].map(Name::place);
            let expected = before[own].checked_add(paid[other]).and_then(|it| it.checked_sub(paid[own]));
            Some(after[own]) == expected && paid[own] == self.ticks.saturating_mul(name.tick_value())
        });
        let seconds = self.begun.elapsed().as_secs_f64();
        let told = |name: Name| json!({ "paid": paid[name.place()], "balance": after[name.place()] });
        if self.is_json {
            say(json!({
                "ticks": self.ticks, "kills": self.kills, "alice": told(Name::Alice), "bob": told(Name::Bob),
                "seconds": seconds, "adds_up": adds_up,
            }))?;
        } else {
            say(format_args!("{seconds:6.2} s  both channels are closed, after {} kills", self.kills))?;
            for name in Name::ALL {
                let own = name.place();
                let (name, paid, before, after) = (name.as_str(), paid[own], before[own], after[own]);
                say(format_args!("          {name} paid {paid} for {} ticks: {before} -> {after}", self.ticks))?;
            }
        }
        if adds_up { Ok(()) } else { Err(Failure::Failed("the balances do not add up".into())) }
    }
}
