//! Answers in ArrowStream format (Apache Arrow, "IPC Streaming Format"), decoded as they arrive.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::reader::StreamDecoder;
use arrow_schema::ArrowError;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use storage_api::ScanError;

use crate::RequestError;
use crate::http::Answer;

/// What every stream that came to its end ends with.
const END: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

/// The batches of one answer.
pub(crate) struct Batches {
    answer: Answer,
    decoder: StreamDecoder,
    rest: Buffer,
    /// Bytes taken since the last batch, and how many that may be.
    held: usize,
    limit: usize,
    end: [u8; END.len()],
}

impl Batches {
    pub(crate) fn new(answer: Answer, limit: usize) -> Self {
        let rest = Buffer::from(Vec::<u8>::new());
        Self { answer, decoder: StreamDecoder::new(), rest, held: 0, limit, end: [0; END.len()] }
    }

    /// The next batch, in the types that the server gave it.
    pub(crate) async fn next(&mut self) -> Result<Option<RecordBatch>, RequestError> {
        loop {
            if !self.rest.is_empty() {
                let (decoder, rest) = (&mut self.decoder, &mut self.rest);
                // What a hostile peer puts into a schema may meet an assertion of the reader.
                let decoded = catch_unwind(AssertUnwindSafe(|| decoder.decode(rest)))
                    .unwrap_or_else(|_| Err(ArrowError::IpcError("a message that cannot be".to_owned())));
                match decoded {
                    Ok(Some(batch)) => {
                        self.held = self.rest.len();
                        return Ok(Some(batch));
                    }
                    Ok(None) => {}
                    Err(error) => return Err(self.broken(&error).await),
                }
            }
            let Some(piece) = self.answer.next().await? else { return self.ended() };
            self.held += piece.len();
            if self.held > self.limit {
                return Err(RequestError::TooLarge { limit: self.limit });
            }
            let kept = END.len() - piece.len().min(END.len());
            self.end.rotate_right(kept);
            self.end[kept..].copy_from_slice(&piece[piece.len() - (END.len() - kept)..]);
            self.rest = Buffer::from(piece);
        }
    }

    pub(crate) fn nonsense(&self, reason: impl ToString) -> RequestError {
        RequestError::Nonsense { host: self.answer.host().to_owned(), reason: reason.to_string() }
    }

    fn ended(&self) -> Result<Option<RecordBatch>, RequestError> {
        if self.end == END { Ok(None) } else { Err(self.answer.cut("the end of the rows is missing".to_owned())) }
    }

    /// The rest of a broken answer may hold the server's words about it.
    async fn broken(&mut self, error: &ArrowError) -> RequestError {
        let mut left = 1 << 20;
        while let Ok(Some(piece)) = self.answer.next().await {
            left -= piece.len().min(left);
            if left == 0 {
                break;
            }
        }
        match self.answer.cut(String::new()) {
            refused @ RequestError::Refused { .. } => refused,
            _ => self.nonsense(error),
        }
    }
}

/// The answer as a stream of batches that are not empty, each changed by `shape`.
pub(crate) fn batches<S>(batches: Batches, shape: S) -> BoxStream<'static, Result<RecordBatch, ScanError>>
where
    S: Fn(RecordBatch) -> Result<RecordBatch, ArrowError> + Send + Sync + 'static,
{
    stream::try_unfold((batches, shape), |(mut batches, shape)| async move {
        loop {
            let batch = batches.next().await.map_err(|error| ScanError::Backend(error.into()))?;
            let Some(batch) = batch else { return Ok(None) };
            let rows = shape(batch).map_err(|error| ScanError::Backend(batches.nonsense(error).into()))?;
            if rows.num_rows() > 0 {
                return Ok(Some((rows, (batches, shape))));
            }
        }
    })
    .boxed()
}
