//! An asynchronous client for Ostler and Apache ZooKeeper, and the recipes on top of it.
