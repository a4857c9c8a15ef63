//! The names that payers give to lanes, each in its own session.

use super::table::Place;
use crate::channel::fault::Fault;
use crate::channel::message::MAX_LANES;
use crate::channel::output::Session;
use crate::ids::Lane;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// A lane has one name in a session, and a session has names for [`MAX_LANES`] lanes at most.
#[derive(Default)]
pub(super) struct Names(BTreeMap<(Session, Place, Lane), u16>);

impl Names {
    /// Whether a name can be given to a lane, in place of the one that it has.
    pub(super) fn check(&self, session: Session, alias: u16, place: Place, lane: Lane) -> Result<(), Fault> {
        match self.lane(session, alias) {
            Some(named) if named != (place, lane) => Err(Fault::Alias(alias)),
            None if self.name(session, place, lane).is_none() && self.of(session).count() >= MAX_LANES => {
                Err(Fault::Lanes)
            }
            _ => Ok(()),
        }
    }

    /// Gives a lane a name that was checked.
    pub(super) fn insert(&mut self, session: Session, alias: u16, place: Place, lane: Lane) {
        self.0.insert((session, place, lane), alias);
    }

    /// The name of a lane in a session.
    pub(super) fn name(&self, session: Session, place: Place, lane: Lane) -> Option<u16> {
        self.0.get(&(session, place, lane)).copied()
    }

    /// The lane that has a name in a session.
    pub(super) fn lane(&self, session: Session, alias: u16) -> Option<(Place, Lane)> {
        self.of(session).find(|(.., known)| *known == alias).map(|(place, lane, _)| (place, lane))
    }

    /// A session has ended. Tells where the channels are of which it spoke.
    pub(super) fn end(&mut self, session: Session) -> Vec<Place> {
        let ended: Vec<_> = self.of(session).map(|(place, lane, _)| (place, lane)).collect();
        for (place, lane) in &ended {
            self.0.remove(&(session, *place, *lane));
        }
        ended.into_iter().map(|(place, _)| place).collect()
    }

    /// A channel is over.
    pub(super) fn remove(&mut self, place: Place) {
        self.0.retain(|(_, of, _), _| *of != place);
    }

    fn of(&self, session: Session) -> impl Iterator<Item = (Place, Lane, u16)> {
        let all: RangeInclusive<_> =
            (session, Place::FIRST, Lane::new(0))..=(session, Place::LAST, Lane::new(u32::MAX));
        self.0.range(all).map(|((_, place, lane), alias)| (*place, *lane, *alias))
    }
}
