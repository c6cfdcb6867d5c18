//! What the operator finds out about the cluster and publishes in ConfigMap `aperium-cluster` of every watched
//! namespace: ranges that nothing may reach from outside, and addresses that nothing opens.

use super::EgressRules;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Facts of the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ClusterFacts {
    /// Pod, service and node ranges; `None` where not all of them could be found.
    pub cluster_ranges: Option<Vec<IpNet>>,
    /// Addresses of the API server.
    pub blocked_addresses: Vec<IpAddr>,
}

impl ClusterFacts {
    /// The ConfigMap's name.
    pub const CONFIG_MAP: &str = "aperium-cluster";
    /// The key that holds the facts, as JSON.
    pub const KEY: &str = "facts.json";

    /// The settings' rules, completed: ranges that the settings give are kept, addresses are added.
    #[must_use]
    pub fn complete(&self, rules: &EgressRules) -> EgressRules {
        let mut rules = rules.clone();
        if rules.cluster_ranges.is_none() {
            rules.cluster_ranges.clone_from(&self.cluster_ranges);
        }
        for address in &self.blocked_addresses {
            if !rules.blocked_addresses.contains(address) {
                rules.blocked_addresses.push(*address);
            }
        }
        rules
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> ClusterFacts {
        ClusterFacts {
            cluster_ranges: Some(vec!["10.96.0.0/16".parse().unwrap()]),
            blocked_addresses: vec!["192.0.2.1".parse().unwrap()],
        }
    }

    #[test]
    fn ranges_are_filled_in_only_where_the_settings_give_none() {
        let unknown = EgressRules::default();
        assert_eq!(facts().complete(&unknown).cluster_ranges, facts().cluster_ranges);
        let given = EgressRules { cluster_ranges: Some(vec![]), ..EgressRules::default() };
        assert_eq!(facts().complete(&given).cluster_ranges, Some(vec![]));
    }

    #[test]
    fn blocked_addresses_only_grow() {
        let rules = EgressRules { blocked_addresses: vec!["192.0.2.2".parse().unwrap()], ..EgressRules::default() };
        assert_eq!(facts().complete(&facts().complete(&rules)).blocked_addresses.len(), 2);
    }

    #[test]
    fn the_facts_survive_their_json() {
        let text = serde_json::to_string(&facts()).unwrap();
        assert_eq!(serde_json::from_str::<ClusterFacts>(&text).unwrap(), facts());
        assert!(serde_json::from_str::<ClusterFacts>(r#"{"clusterRangez": []}"#).is_err());
    }
}
