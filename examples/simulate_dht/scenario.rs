//! What a run is made of: a file that all policies share.

use serde::Deserialize;
use std::path::{Path, PathBuf};

/// A scenario. Unknown keys are refused.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    /// Hosts, whether up or not.
    pub(crate) nodes: u32,
    /// The first of them, which stay and are known to all.
    pub(crate) roots: u32,
    pub(crate) seed: u64,
    /// The time in which all nodes join.
    pub(crate) joining_seconds: u32,
    /// From then on nothing is measured for so long.
    pub(crate) settling_seconds: u32,
    pub(crate) link: Link,
    pub(crate) nat: Option<Nat>,
    pub(crate) churn: Option<Churn>,
    pub(crate) workload: Option<Workload>,
    pub(crate) lookups: Lookups,
    pub(crate) colluders: Option<Colluders>,
    pub(crate) vertical: Option<Vertical>,
}

/// The lines between hosts.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Link {
    pub(crate) rtt_p50_ms: f64,
    pub(crate) rtt_p90_ms: f64,
    pub(crate) jitter_ms: f64,
    pub(crate) loss: f64,
}

/// The NATs that hosts are behind.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nat {
    pub(crate) share: f64,
    pub(crate) timeout_seconds: [u32; 2],
    pub(crate) full_cone: f64,
    pub(crate) restricted: f64,
    pub(crate) port_restricted: f64,
    pub(crate) symmetric: f64,
    pub(crate) firewall: f64,
}

/// How hosts come and go.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Churn {
    pub(crate) session_shape: f64,
    pub(crate) session_scale_minutes: f64,
    pub(crate) offline_mean_minutes: f64,
    pub(crate) new_id: f64,
}

/// What nodes do besides the lookups that are measured.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Workload {
    pub(crate) torrents_per_node: f64,
    pub(crate) zipf_exponent: f64,
    pub(crate) announce_minutes: f64,
    pub(crate) items: f64,
    pub(crate) republish_minutes: f64,
}

/// What is measured.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lookups {
    pub(crate) count: u32,
    pub(crate) every_ms: u32,
    pub(crate) after_announce_seconds: u32,
}

/// Nodes that answer with one another.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Colluders {
    pub(crate) share: f64,
}

/// Many ids around each key that is looked up.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Vertical {
    pub(crate) keys: u32,
    pub(crate) ids: u32,
    pub(crate) networks: u32,
}

/// Why a scenario cannot be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ScenarioError {
    /// There is no such scenario and no such file.
    #[error("there is no scenario {0:?}")]
    Unknown(PathBuf, #[source] std::io::Error),
    /// The file is no TOML, or a key is unknown, missing or of another type.
    #[error("scenario is malformed")]
    Malformed(#[from] toml::de::Error),
    /// A value makes no sense.
    #[error("{key} must be {wanted}, not {value}")]
    OutOfRange {
        /// The key, with the table that it is in.
        key: &'static str,
        /// What may stand there.
        wanted: &'static str,
        /// What does.
        value: f64,
    },
}

/// The scenarios that this program brings along.
pub(crate) const NAMED: [(&str, &str); 5] = [
    ("churn", include_str!("scenarios/churn.toml")),
    ("still", include_str!("scenarios/still.toml")),
    ("loopback", include_str!("scenarios/loopback.toml")),
    ("colluders", include_str!("scenarios/colluders.toml")),
    ("vertical", include_str!("scenarios/vertical.toml")),
];

impl Scenario {
    /// Takes a scenario by its name, or reads a file.
    pub(crate) fn load(name: &Path) -> Result<Self, ScenarioError> {
        match NAMED.iter().find(|(known, _)| Path::new(known) == name) {
            Some((_, text)) => Self::parse(text),
            None => {
                let text = std::fs::read_to_string(name);
                Self::parse(&text.map_err(|error| ScenarioError::Unknown(name.to_owned(), error))?)
            }
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self = toml::from_str(text)?;
        scenario.check()?;
        Ok(scenario)
    }

    /// Demands that every value makes sense.
    pub(crate) fn check(&self) -> Result<(), ScenarioError> {
        let demand = |key: &'static str, value: f64, is_right: bool, wanted: &'static str| {
            if is_right { Ok(()) } else { Err(ScenarioError::OutOfRange { key, wanted, value }) }
        };
        let share = |key, value: f64| demand(key, value, (0.0..=1.0).contains(&value), "from 0 to 1");
        let above = |key, value: f64| demand(key, value, value > 0.0 && value.is_finite(), "above 0");
        let least = |key, value: f64| demand(key, value, value >= 0.0 && value.is_finite(), "0 or more");
        above("roots", self.roots.into())?;
        demand("nodes", self.nodes.into(), (self.roots..=1 << 22).contains(&self.nodes), "from roots to 4194304")?;
        demand("seed", self.seed as f64, i64::try_from(self.seed).is_ok(), "below 2^63")?;
        above("link.rtt_p50_ms", self.link.rtt_p50_ms)?;
        let link = &self.link;
        demand("link.rtt_p90_ms", link.rtt_p90_ms, link.rtt_p90_ms >= link.rtt_p50_ms, "no less than rtt_p50_ms")?;
        least("link.jitter_ms", link.jitter_ms)?;
        share("link.loss", link.loss)?;
        if let Some(nat) = &self.nat {
            share("nat.share", nat.share)?;
            let [low, high] = nat.timeout_seconds;
            demand("nat.timeout_seconds", high.into(), 0 < low && low <= high, "from low to high, above 0")?;
            for (key, weight) in [
                ("nat.full_cone", nat.full_cone),
                ("nat.restricted", nat.restricted),
                ("nat.port_restricted", nat.port_restricted),
                ("nat.symmetric", nat.symmetric),
                ("nat.firewall", nat.firewall),
            ] {
                least(key, weight)?;
            }
        }
        if let Some(churn) = &self.churn {
            above("churn.session_shape", churn.session_shape)?;
            above("churn.session_scale_minutes", churn.session_scale_minutes)?;
            above("churn.offline_mean_minutes", churn.offline_mean_minutes)?;
            share("churn.new_id", churn.new_id)?;
        }
        if let Some(workload) = &self.workload {
            above("workload.torrents_per_node", workload.torrents_per_node)?;
            least("workload.zipf_exponent", workload.zipf_exponent)?;
            above("workload.announce_minutes", workload.announce_minutes)?;
            share("workload.items", workload.items)?;
            above("workload.republish_minutes", workload.republish_minutes)?;
        }
        above("lookups.count", self.lookups.count.into())?;
        above("lookups.every_ms", self.lookups.every_ms.into())?;
        if let Some(colluders) = &self.colluders {
            share("colluders.share", colluders.share)?;
        }
        if let Some(Vertical { keys, ids, networks }) = self.vertical {
            demand("vertical.keys", keys.into(), (1..=200).contains(&keys), "from 1 to 200")?;
            demand("vertical.networks", networks.into(), (1..=256).contains(&networks), "from 1 to 256")?;
            let per_network = ids.div_ceil(networks.max(1));
            demand("vertical.ids", ids.into(), (1..=254).contains(&per_network), "from 1 to 254 for each network")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    #[test]
    fn the_scenarios_that_are_named_can_be_run() {
        for (name, _) in NAMED {
            assert!(Scenario::load(Path::new(name)).is_ok(), "{name}");
        }
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let text = NAMED[0].1.replace("jitter_ms", "gitter_ms");
        let error = Scenario::parse(&text).unwrap_err();
        assert!(error.source().is_none() || error.to_string().contains("malformed"));
        assert!(matches!(&error, ScenarioError::Malformed(inner) if inner.message().contains("gitter_ms")));
    }

    #[test]
    fn a_value_out_of_range_is_refused_with_its_key() {
        for (from, to, key) in [
            ("loss = 0.01", "loss = 1.5", "link.loss"),
            ("nodes = 100000", "nodes = 3", "nodes"),
            ("timeout_seconds = [60, 120]", "timeout_seconds = [120, 60]", "nat.timeout_seconds"),
        ] {
            let error = Scenario::parse(&NAMED[0].1.replace(from, to)).unwrap_err();
            assert!(matches!(error, ScenarioError::OutOfRange { key: found, .. } if found == key), "{error}");
        }
    }
}
