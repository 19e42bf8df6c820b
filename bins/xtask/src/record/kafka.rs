//! A broker that speaks Kafka, and its clients: aiokafka, librdkafka, and kcat on top of that.

use anyhow::Result;
use xtask::capture::capture;

use super::scripts::{Broker, python, python_joined};
use super::{Files, KEPT, PIPELINE, WHOLE};

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

pub(super) fn kafka_kcat(files: &Files) -> Result<()> {
    let broker = Broker::start()?;
    capture(&files.capture, &[broker.port], PIPELINE, || {
        python("kafka_kcat", include_str!("kafka_kcat.py"), broker.port, &files.log)
    })
}

pub(super) fn kafka_cut(files: &Files) -> Result<()> {
    let broker = Broker::start()?;
    python_joined("kafka_cut", include_str!("kafka_cut.py"), files, WHOLE, &[broker.port], broker.process.pid())
}
