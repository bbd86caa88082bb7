//! Texts against those that Apache ZooKeeper 3.9.5 gave in the same state.
