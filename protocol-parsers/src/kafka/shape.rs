//! How the fields of a message are described: what they are, from which version on and up to which.

/// The fields of a message or of an element, in the order in which they stand.
pub(super) type Shape = &'static [Field];

/// A field and the versions that have it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub(super) what: What,
    first: u8,
    last: u8,
}

/// What a field is. Whatever is told to a [`Sink`](super::walk::Sink) is worth reading, the rest is passed over.
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    /// So many bytes.
    Fixed(u8),
    /// A string that may be null.
    String,
    /// Bytes behind their length; they may be null.
    Bytes,
    /// A string that is told.
    Text(Text),
    /// A number that is told.
    Number(Number),
    /// UUID of a topic.
    TopicId,
    /// Record batches.
    Records,
    /// An array of structures.
    Structs(Shape),
    /// An array of values, which have no tagged fields behind them.
    Values(Shape),
    /// A structure within a structure.
    Struct(Shape),
    /// What follows is not read.
    Rest,
}

/// What a string says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Text {
    Topic,
    Group,
    /// A group, if the coordinator looked for is one of groups.
    CoordinatorKey,
    TransactionalId,
    /// What the error code before it means.
    ErrorMessage,
    Mechanism,
    SoftwareName,
    SoftwareVersion,
}

/// What a number says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    Error,
    Acks,
    Partition,
    Offset,
    /// What the coordinator coordinates.
    KeyType,
    ApiKey,
}

impl Number {
    /// Bytes it takes.
    pub(super) const fn width(self) -> usize {
        match self {
            Self::Error | Self::Acks | Self::ApiKey => 2,
            Self::Partition => 4,
            Self::Offset => 8,
            Self::KeyType => 1,
        }
    }
}

impl Field {
    const fn new(what: What) -> Self {
        Self { what, first: 0, last: u8::MAX }
    }

    /// In no version before this one.
    pub(super) const fn from(self, first: u8) -> Self {
        Self { first, ..self }
    }

    /// In no version behind this one.
    pub(super) const fn to(self, last: u8) -> Self {
        Self { last, ..self }
    }

    pub(super) const fn is_in(&self, version: u8) -> bool {
        self.first <= version && version <= self.last
    }

    /// Whether `test` holds for it or for a field within it.
    pub(super) fn has(&self, version: u8, test: fn(What) -> bool) -> bool {
        self.is_in(version)
            && match self.what {
                What::Structs(shape) | What::Values(shape) | What::Struct(shape) => {
                    shape.iter().any(|field| field.has(version, test))
                }
                what => test(what),
            }
    }
}

impl What {
    /// Whether a sink hears of it.
    pub(super) const fn is_told(self) -> bool {
        matches!(self, Self::Text(_) | Self::Number(_) | Self::TopicId | Self::Records)
    }

    pub(super) const fn is_error(self) -> bool {
        matches!(self, Self::Number(Number::Error))
    }
}

pub(super) const INT8: Field = Field::new(What::Fixed(1));
pub(super) const INT16: Field = Field::new(What::Fixed(2));
pub(super) const INT32: Field = Field::new(What::Fixed(4));
pub(super) const INT64: Field = Field::new(What::Fixed(8));
pub(super) const UUID: Field = Field::new(What::Fixed(16));
pub(super) const STRING: Field = Field::new(What::String);
pub(super) const BYTES: Field = Field::new(What::Bytes);
pub(super) const RECORDS: Field = Field::new(What::Records);
pub(super) const REST: Field = Field::new(What::Rest);

pub(super) const TOPIC: Field = Field::new(What::Text(Text::Topic));
pub(super) const TOPIC_ID: Field = Field::new(What::TopicId);
pub(super) const GROUP: Field = Field::new(What::Text(Text::Group));
pub(super) const COORDINATOR_KEY: Field = Field::new(What::Text(Text::CoordinatorKey));
pub(super) const TRANSACTIONAL_ID: Field = Field::new(What::Text(Text::TransactionalId));
pub(super) const MESSAGE: Field = Field::new(What::Text(Text::ErrorMessage));
pub(super) const MECHANISM: Field = Field::new(What::Text(Text::Mechanism));
pub(super) const SOFTWARE_NAME: Field = Field::new(What::Text(Text::SoftwareName));
pub(super) const SOFTWARE_VERSION: Field = Field::new(What::Text(Text::SoftwareVersion));

pub(super) const ERROR: Field = Field::new(What::Number(Number::Error));
pub(super) const ACKS: Field = Field::new(What::Number(Number::Acks));
pub(super) const PARTITION: Field = Field::new(What::Number(Number::Partition));
pub(super) const OFFSET: Field = Field::new(What::Number(Number::Offset));
pub(super) const KEY_TYPE: Field = Field::new(What::Number(Number::KeyType));
pub(super) const API_KEY: Field = Field::new(What::Number(Number::ApiKey));

pub(super) const fn structs(shape: Shape) -> Field {
    Field::new(What::Structs(shape))
}

pub(super) const fn values(shape: Shape) -> Field {
    Field::new(What::Values(shape))
}

pub(super) const fn structure(shape: Shape) -> Field {
    Field::new(What::Struct(shape))
}
