//! Everything that talks to a real component: backends that run PostgreSQL, Kafka and Kafka
//! Connect, and clients that ask them questions.
//!
//! What is absent: nothing here knows a step of the procedure or decides a verdict.

pub mod connect;
pub mod connector;
pub mod kafka;
pub mod observe;
pub mod postgres;
pub mod wait;
