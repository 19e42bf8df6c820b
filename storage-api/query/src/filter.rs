//! Conditions on what users see become conditions on what is stored. A condition may let through rows that do not match (the engine
//! looks at every row again), but never leaves one out.

use std::net::{IpAddr, SocketAddr};

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use storage_api::{Comparison, Predicate, Scalar, TimeRange, Timestamp};
use tag_encoder::{NameId, Writers};

use crate::decode::identifier_bytes;
use crate::view::{Source, TableView};

/// A condition on stored columns.
#[derive(Debug, Clone)]
struct Condition {
    predicate: Predicate,
    /// Whether it lets through exactly the rows of the original, so that its negation may be used.
    exact: bool,
}

/// The condition on stored columns that keeps at least the rows that match, if there is one.
pub(crate) fn translate(filter: &Expr, view: &TableView, names: &Writers) -> Option<Predicate> {
    let predicate = Translator { view, names }.condition(filter)?.predicate;
    // A cast may compare a column with a value of another type, which the store refuses.
    predicate.check(view.definition.schema()).is_ok().then_some(predicate)
}

/// The span of time outside of which no row satisfies all filters.
pub(crate) fn time_range(filters: &[Expr], view: &TableView) -> TimeRange {
    let mut range = TimeRange::ALL;
    let mut open: Vec<&Expr> = filters.iter().collect();
    while let Some(filter) = open.pop() {
        match filter {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => open.extend([&**left, &**right]),
            Expr::BinaryExpr(binary) => {
                if let Some(narrower) = bounds(binary, view) {
                    range = range.intersect(narrower);
                }
            }
            Expr::Between(between) if !between.negated => {
                let compare = |op, right: &Expr| {
                    let binary = BinaryExpr { left: between.expr.clone(), op, right: Box::new(right.clone()) };
                    bounds(&binary, view).unwrap_or(TimeRange::ALL)
                };
                range = range.intersect(compare(Operator::GtEq, &between.low));
                range = range.intersect(compare(Operator::LtEq, &between.high));
            }
            _ => {}
        }
    }
    range
}

fn bounds(binary: &BinaryExpr, view: &TableView) -> Option<TimeRange> {
    let (column, op, value) = comparison(binary)?;
    if !matches!(view.source(column)?, Source::Stored(index) | Source::Nanoseconds(index) if *index == view.definition.time_index())
    {
        return None;
    }
    let nanos = match value {
        ScalarValue::TimestampNanosecond(Some(nanos), _) | ScalarValue::Int64(Some(nanos)) => *nanos,
        _ => return None,
    };
    let at = Timestamp::from_nanos(nanos);
    // The first instant behind; behind the last one there is none, and the side stays open.
    let after = nanos.checked_add(1).map(Timestamp::from_nanos);
    Some(match op {
        Comparison::Eq => TimeRange { from: Some(at), until: after },
        Comparison::Lt => TimeRange { from: None, until: Some(at) },
        Comparison::LtEq => TimeRange { from: None, until: after },
        // Nothing lies behind the last instant; letting it through is allowed.
        Comparison::Gt => TimeRange { from: after.or(Some(at)), until: None },
        Comparison::GtEq => TimeRange { from: Some(at), until: None },
        Comparison::NotEq => return None,
    })
}

struct Translator<'a> {
    view: &'a TableView,
    names: &'a Writers,
}

impl Translator<'_> {
    fn condition(&self, filter: &Expr) -> Option<Condition> {
        match filter {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
                match (self.condition(left), self.condition(right)) {
                    (Some(left), Some(right)) => Some(Condition {
                        exact: left.exact && right.exact,
                        predicate: Predicate::And(vec![left.predicate, right.predicate]),
                    }),
                    (Some(one), None) | (None, Some(one)) => Some(Condition { exact: false, ..one }),
                    (None, None) => None,
                }
            }
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
                let (left, right) = (self.condition(left)?, self.condition(right)?);
                Some(Condition {
                    exact: left.exact && right.exact,
                    predicate: Predicate::Or(vec![left.predicate, right.predicate]),
                })
            }
            Expr::BinaryExpr(binary) => {
                let (column, op, value) = comparison(binary)?;
                match op {
                    Comparison::Eq => self.one_of(column, &[value]),
                    Comparison::NotEq => self.none_of(column, &[value]),
                    _ => self.ordered(column, op, value),
                }
            }
            Expr::InList(InList { expr, list, negated }) => {
                let column = column_of(expr)?;
                let values: Vec<_> = list.iter().map(literal_of).collect::<Option<_>>()?;
                if *negated { self.none_of(column, &values) } else { self.one_of(column, &values) }
            }
            Expr::Not(inner) => {
                let inner = self.condition(inner).filter(|condition| condition.exact)?;
                Some(Condition { predicate: Predicate::Not(Box::new(inner.predicate)), exact: true })
            }
            Expr::IsNull(inner) => self.null(inner),
            Expr::IsNotNull(inner) => {
                let inner = self.null(inner)?;
                Some(Condition { predicate: Predicate::Not(Box::new(inner.predicate)), exact: true })
            }
            _ => None,
        }
    }

    fn null(&self, inner: &Expr) -> Option<Condition> {
        let column = match self.view.source(column_of(inner)?)? {
            // The map also holds what found no integer.
            Source::NamedKeys { .. } => return None,
            Source::Stored(index)
            | Source::Identifier(index)
            | Source::Nanoseconds(index)
            | Source::Names { ids: index, .. }
            | Source::Address { address: index, .. } => self.view.stored(*index).name(),
        };
        Some(Condition { predicate: Predicate::is_null(column), exact: true })
    }

    fn one_of(&self, column: &str, values: &[&ScalarValue]) -> Option<Condition> {
        let (predicate, exact) = match self.view.source(column)? {
            Source::Names { ids, dictionary } => {
                let keys = self.keys(dictionary, values)?;
                // A text that found no integer may be any: such rows are looked at.
                let overflowed = Predicate::eq(self.view.stored(*ids).name(), NameId::OVERFLOW.0);
                (Predicate::Or(vec![self.has_key(*ids, keys), overflowed]), false)
            }
            Source::Address { address, port, unix } => {
                let each = values.iter().map(|value| self.address(*address, *port, unix.is_some(), value));
                (Predicate::Or(each.collect::<Option<_>>()?), true)
            }
            source => {
                let (index, values) = self.scalars(source, values)?;
                (Predicate::In { column: self.view.stored(index).name().clone(), values }, true)
            }
        };
        Some(Condition { predicate, exact })
    }

    fn none_of(&self, column: &str, values: &[&ScalarValue]) -> Option<Condition> {
        if let Source::Names { ids, dictionary } = self.view.source(column)? {
            let keys = self.keys(dictionary, values)?;
            let predicate = Predicate::Not(Box::new(self.has_key(*ids, keys)));
            return Some(Condition { predicate, exact: false });
        }
        let inner = self.one_of(column, values)?;
        Some(Condition { predicate: Predicate::Not(Box::new(inner.predicate)), exact: inner.exact })
    }

    fn ordered(&self, column: &str, op: Comparison, value: &ScalarValue) -> Option<Condition> {
        let source = self.view.source(column)?;
        if !matches!(source, Source::Stored(_) | Source::Nanoseconds(_)) {
            return None;
        }
        let (index, mut values) = self.scalars(source, &[value])?;
        let column = self.view.stored(index).name().clone();
        Some(Condition { predicate: Predicate::Compare { column, op, value: values.pop()? }, exact: true })
    }

    /// The keys of names: only those that anybody has met.
    fn keys(&self, dictionary: &str, values: &[&ScalarValue]) -> Option<Vec<(u16, NameId)>> {
        let found = values.iter().map(|value| Some(self.names.find(dictionary, text_of(value)?)));
        Some(found.collect::<Option<Vec<_>>>()?.concat())
    }

    fn has_key(&self, ids: usize, mut keys: Vec<(u16, NameId)>) -> Predicate {
        let column = self.view.stored(ids).name();
        keys.sort_unstable();
        let mut any = Vec::new();
        for same in keys.chunk_by(|a, b| a.0 == b.0) {
            let ids = Predicate::any_of(column, same.iter().map(|(_, id)| id.0));
            any.push(match self.view.writer {
                Some(writer) => Predicate::And(vec![Predicate::eq(self.view.stored(writer).name(), same[0].0), ids]),
                None => ids,
            });
        }
        Predicate::Or(any)
    }

    /// Rows with this address; none if rows of Unix sockets, which have port 0, may have the same.
    fn address(&self, address: usize, port: Option<usize>, unix: bool, value: &ScalarValue) -> Option<Predicate> {
        let text = text_of(value)?;
        let stored = |index: usize| self.view.stored(index).name();
        let matches = |ip: IpAddr| {
            let bytes = match ip {
                IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                IpAddr::V6(ip) => ip,
            };
            Predicate::eq(stored(address), bytes.octets().to_vec())
        };
        match port {
            None => text.parse().ok().map(matches),
            Some(port) => {
                let socket: SocketAddr = text.parse().ok().filter(|socket: &SocketAddr| !unix || socket.port() != 0)?;
                Some(Predicate::And(vec![matches(socket.ip()), Predicate::eq(stored(port), socket.port())]))
            }
        }
    }

    fn scalars(&self, source: &Source, values: &[&ScalarValue]) -> Option<(usize, Vec<Scalar>)> {
        let each = |convert: fn(&ScalarValue) -> Option<Scalar>| -> Option<Vec<Scalar>> {
            values.iter().map(|value| convert(value)).collect()
        };
        match source {
            Source::Stored(index) => Some((*index, each(scalar)?)),
            Source::Identifier(index) => {
                Some((*index, each(|value| Some(Scalar::Binary(identifier_bytes(text_of(value)?))))?))
            }
            Source::Nanoseconds(index) => Some((
                *index,
                each(|value| match value {
                    ScalarValue::Int64(Some(nanos)) => Some(Scalar::Timestamp(Timestamp::from_nanos(*nanos))),
                    _ => None,
                })?,
            )),
            _ => None,
        }
    }
}

/// `column op literal`, turned around if it stands the other way.
fn comparison(binary: &BinaryExpr) -> Option<(&str, Comparison, &ScalarValue)> {
    let turned;
    let (column, op, value) = if let Some(column) = column_of(&binary.left) {
        (column, &binary.op, literal_of(&binary.right)?)
    } else {
        turned = binary.op.swap()?;
        (column_of(&binary.right)?, &turned, literal_of(&binary.left)?)
    };
    let op = match op {
        Operator::Eq => Comparison::Eq,
        Operator::NotEq => Comparison::NotEq,
        Operator::Lt => Comparison::Lt,
        Operator::LtEq => Comparison::LtEq,
        Operator::Gt => Comparison::Gt,
        Operator::GtEq => Comparison::GtEq,
        _ => return None,
    };
    Some((column, op, value))
}

/// A column, also where only the form of its text is changed.
fn column_of(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Column(column) => Some(&column.name),
        Expr::Cast(cast) if is_text(cast.field.data_type()) => text_column(&cast.expr),
        Expr::TryCast(cast) if is_text(cast.field.data_type()) => text_column(&cast.expr),
        _ => None,
    }
}

fn text_column(expr: &Expr) -> Option<&str> {
    match expr {
        // A cast of a text column changes nothing; whether it is one shows when its value is asked for.
        Expr::Column(column) => Some(&column.name),
        _ => None,
    }
}

fn is_text(data_type: &arrow_schema::DataType) -> bool {
    use arrow_schema::DataType;
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, value) => is_text(value),
        _ => false,
    }
}

fn literal_of(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(ScalarValue::Dictionary(_, value), _) => Some(&**value),
        Expr::Literal(value, _) => Some(value),
        _ => None,
    }
    .filter(|value| !value.is_null())
}

fn text_of(value: &ScalarValue) -> Option<&str> {
    value.try_as_str().flatten()
}

fn scalar(value: &ScalarValue) -> Option<Scalar> {
    Some(match value {
        ScalarValue::Boolean(Some(value)) => Scalar::Boolean(*value),
        ScalarValue::Int8(Some(value)) => Scalar::from(*value),
        ScalarValue::Int16(Some(value)) => Scalar::from(*value),
        ScalarValue::Int32(Some(value)) => Scalar::from(*value),
        ScalarValue::Int64(Some(value)) => Scalar::from(*value),
        ScalarValue::UInt8(Some(value)) => Scalar::from(*value),
        ScalarValue::UInt16(Some(value)) => Scalar::from(*value),
        ScalarValue::UInt32(Some(value)) => Scalar::from(*value),
        ScalarValue::UInt64(Some(value)) => Scalar::from(*value),
        ScalarValue::Utf8(Some(value)) | ScalarValue::LargeUtf8(Some(value)) | ScalarValue::Utf8View(Some(value)) => {
            Scalar::from(value.as_str())
        }
        ScalarValue::TimestampNanosecond(Some(nanos), _) => Scalar::Timestamp(Timestamp::from_nanos(*nanos)),
        _ => return None,
    })
}
