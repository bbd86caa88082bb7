//! Who keeps a connection when two servers dial each other for an election: the larger id.
