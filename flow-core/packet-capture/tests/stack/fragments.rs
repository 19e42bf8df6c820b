//! Datagrams in pieces.
