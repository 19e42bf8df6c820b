//! A broker that speaks Kafka, and two client libraries: aiokafka and librdkafka.

use anyhow::Result;
use xtask::capture::capture;

use super::scripts::{Broker, python};
use super::{Files, KEPT};

pub(super) fn kafka(files: &Files) -> Result<()> {
    let broker = Broker::start()?;
    capture(&files.capture, &[broker.port], KEPT, || {
        python("kafka_aio", include_str!("kafka_aio.py"), broker.port, &files.log)
    })
}

pub(super) fn kafka_librdkafka(files: &Files) -> Result<()> {
    let broker = Broker::start()?;
    capture(&files.capture, &[broker.port], KEPT, || {
        python("kafka_librdkafka", include_str!("kafka_librdkafka.py"), broker.port, &files.log)
    })
}
