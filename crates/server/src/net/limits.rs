//! How many connections there may be, from one address and altogether.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts the connections of all shards.
#[derive(Debug)]
pub(crate) struct ConnLimits {
    /// `maxClientCnxns`; 0 is no limit.
    per_address_max: u32,
    /// `maxCnxns`; 0 is no limit.
    total_max: u32,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    per_address: HashMap<IpAddr, u32>,
    total: u32,
}

/// The right to one connection, given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    limits: Arc<ConnLimits>,
    address: IpAddr,
}

impl ConnLimits {
    pub(crate) fn new(per_address_max: u32, total_max: u32) -> Arc<Self> {
        Arc::new(Self { per_address_max, total_max, counts: Mutex::default() })
    }

    /// Counts a connection from `address`, or tells which limit it would exceed.
    pub(crate) fn permit(self: &Arc<Self>, address: IpAddr) -> Result<Permit, String> {
        let address = address.to_canonical();
        let mut counts = self.counts();
        if self.total_max > 0 && counts.total >= self.total_max {
            return Err(format!("there are {} connections, as many as maxCnxns", counts.total));
        }
        let own = counts.per_address.entry(address).or_default();
        if self.per_address_max > 0 && *own >= self.per_address_max {
            let max = self.per_address_max;
            return Err(format!("too many connections from {address}, maxClientCnxns is {max}"));
        }
        *own += 1;
        counts.total += 1;
        Ok(Permit { limits: Arc::clone(self), address })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.limits.counts();
        counts.total -= 1;
        if let Some(own) = counts.per_address.get_mut(&self.address) {
            *own -= 1;
            if *own == 0 {
                counts.per_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_a_connection_ends() {
        let limits = ConnLimits::new(1, 2);
        let address = |last| IpAddr::from([127, 0, 0, last]);
        let first = limits.permit(address(1)).unwrap();
        assert!(limits.permit(address(1)).is_err(), "per address");
        let _second = limits.permit(address(2)).unwrap();
        assert!(limits.permit(address(3)).is_err(), "altogether");
        drop(first);
        limits.permit(address(1)).unwrap();
    }
}
