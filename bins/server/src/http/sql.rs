use std::pin::Pin;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt};
use metaflow_query::QueryError;
use serde::Deserialize;
use serde_json::json;

use super::Shared;
use super::format::{RowFormat, RowWriter};

#[derive(Debug, Default, Deserialize)]
pub(super) struct Parameters {
    format: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Question {
    sql: String,
}

/// `POST /sql`: the body is a statement, or `{"sql": "…"}` as `application/json`. Rows are written as they come.
pub(super) async fn post_sql(
    State(shared): State<Shared>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let body = match tokio::time::timeout(shared.request_time, Bytes::from_request(request, &())).await {
        Ok(Ok(body)) => body,
        Ok(Err(rejection)) => return refuse(rejection.status(), &rejection.body_text()),
        Err(_) => return refuse(StatusCode::REQUEST_TIMEOUT, "the statement did not come in time"),
    };
    let Some(format) = format_of(parameters.format.as_deref(), &headers) else {
        return refuse(StatusCode::NOT_ACCEPTABLE, "the formats are json, jsonl, csv and table");
    };
    let sql = match statement(&headers, &body) {
        Ok(sql) => sql,
        Err(text) => return refuse(StatusCode::BAD_REQUEST, &text),
    };
    let mut answer = match shared.engine.query(&sql).await {
        Ok(answer) => answer,
        Err(error) => return explain(&error),
    };
    // Most errors come before the first row, when the status can still tell of them.
    let first = match answer.next().await.transpose() {
        Ok(first) => first,
        Err(error) => return explain(&error),
    };
    let writer = RowWriter::new(format, answer.schema());
    let rows: Pin<Box<dyn Stream<Item = _> + Send>> = Box::pin(futures::stream::iter(first.map(Ok)).chain(answer));
    // An error in mid-answer breaks the connection off, so that half an answer is not taken for a whole one.
    let chunks = futures::stream::unfold((Some(writer), rows), |(writer, mut rows)| async move {
        let mut writer = writer?;
        let chunk = match rows.next().await {
            Some(Ok(batch)) => writer.write(&batch).map_err(std::io::Error::other),
            Some(Err(error)) => Err(std::io::Error::other(error)),
            None => return Some((Ok(writer.finish()), (None, rows))),
        };
        let writer = chunk.is_ok().then_some(writer);
        Some((chunk, (writer, rows)))
    });
    ([(header::CONTENT_TYPE, format.content_type())], Body::from_stream(chunks)).into_response()
}

fn statement(headers: &HeaderMap, body: &[u8]) -> Result<String, String> {
    let content = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if content.starts_with("application/json") {
        return serde_json::from_slice::<Question>(body)
            .map(|question| question.sql)
            .map_err(|error| format!("the body is not {{\"sql\": \"…\"}}: {error}"));
    }
    std::str::from_utf8(body).map(str::to_owned).map_err(|_| "the statement is not UTF-8".to_owned())
}

/// By `?format=`, else by `Accept`, else JSON.
fn format_of(wanted: Option<&str>, headers: &HeaderMap) -> Option<RowFormat> {
    if let Some(name) = wanted {
        return RowFormat::of_name(name);
    }
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("*/*");
    accept.split(',').find_map(|kind| RowFormat::of_content_type(kind.split(';').next().unwrap_or(kind).trim()))
}

fn refuse(status: StatusCode, text: &str) -> Response {
    (status, axum::Json(json!({ "error": text }))).into_response()
}

fn explain(error: &QueryError) -> Response {
    let status = match error {
        QueryError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        QueryError::ReadOnly { .. } => StatusCode::FORBIDDEN,
        QueryError::Timeout(_) => StatusCode::GATEWAY_TIMEOUT,
        QueryError::Memory => StatusCode::SERVICE_UNAVAILABLE,
        QueryError::Storage(_) | QueryError::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    };
    let mut body = json!({ "error": error.to_string(), "code": error.sqlstate() });
    if let Some(position) = error.position() {
        body["line"] = position.line.into();
        body["column"] = position.column.into();
    }
    (status, axum::Json(body)).into_response()
}
