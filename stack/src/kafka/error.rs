//! What can go wrong with Kafka, each in one sentence.

use std::time::Duration;

use crate::wait::WaitError;

/// A result of this module.
pub type Result<T> = std::result::Result<T, Error>;

/// An error that names the brokers or the topic.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A request got no answer, or a bad one.
    #[error("cannot {action} at {brokers}: {cause}; cargo xtask ps shows whether Kafka runs")]
    Request {
        /// What was tried: `list topics`, ...
        action: String,
        /// `host:port`
        brokers: String,
        /// Why.
        cause: String,
    },
    /// There is no such topic.
    #[error("there is no topic {topic} at {brokers}; cargo xtask status shows whether the connector runs")]
    NoTopic {
        /// The topic.
        topic: String,
        /// `host:port`
        brokers: String,
    },
    /// Nothing arrives although there is more to read.
    #[error(
        "reading {topic} stands still for {} s at partition {partition}, offset {at} of {end}; last error: {last}",
        stall.as_secs()
    )]
    Stalled {
        /// The topic.
        topic: String,
        /// A partition that was not read to its end.
        partition: i32,
        /// The next offset.
        at: i64,
        /// The end.
        end: i64,
        /// How long nothing arrived.
        stall: Duration,
        /// The last thing that Kafka's client complained about.
        last: String,
    },
    /// The reader ended although it should follow.
    #[error("reading {topic} ended unexpectedly")]
    Ended {
        /// The topic.
        topic: String,
    },
    /// The records could not be kept.
    #[error(transparent)]
    Artifact(#[from] artifacts::Error),
    /// A condition did not come true.
    #[error(transparent)]
    Wait(#[from] WaitError),
}
