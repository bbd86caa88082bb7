//! As what a member of an ensemble stands, cheap enough to be asked after every turn.

use ostler_wire::ids::{Epoch, Sid};
use ostler_wire::vote::ServerState;

use super::Replica;
use super::ensemble::Role;
use crate::status::Mode;

/// As what a member of an ensemble stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// As what it serves its clients.
    pub mode: Mode,
    /// What it does, whether or not it has come far enough to serve.
    pub state: ServerState,
    /// Who leads, as far as it knows.
    pub leader: Option<Sid>,
    /// The epoch whose history it has.
    pub epoch: Epoch,
    /// Whether it has handed over, or had nothing to hand over.
    pub retired: bool,
}

impl Replica {
    /// As what this server stands; `None` if it is alone.
    #[must_use]
    pub fn standing(&self) -> Option<Standing> {
        let ensemble = self.ensemble.as_ref()?;
        let leader = match &ensemble.role {
            Role::Leading(_) => Some(ensemble.zab.my_sid),
            Role::Learning(learning) => Some(learning.leader_sid()),
            Role::Settling | Role::Looking | Role::Retired => None,
        };
        Some(Standing {
            mode: ensemble.mode(),
            state: ensemble.election.state(),
            leader,
            epoch: ensemble.current_epoch,
            retired: matches!(ensemble.role, Role::Retired),
        })
    }
}
