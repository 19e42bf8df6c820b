use arrow_ipc::{Field, Schema, Type};

/// Whether two schemas have the same columns: names, types, nullability and the numbers of their dictionaries. Remarks (metadata) may
/// differ. Walks along `ours`, so a hostile `theirs` cannot make it long.
pub(crate) fn same_schema(ours: &Schema<'_>, theirs: &Schema<'_>) -> bool {
    let (Some(our_fields), Some(their_fields)) = (ours.fields(), theirs.fields()) else { return false };
    ours.endianness() == theirs.endianness()
        && our_fields.len() == their_fields.len()
        && our_fields.iter().zip(their_fields).all(|(ours, theirs)| same_field(&ours, &theirs))
}

fn same_field(ours: &Field<'_>, theirs: &Field<'_>) -> bool {
    let children = (ours.children(), theirs.children());
    ours.name() == theirs.name()
        && ours.nullable() == theirs.nullable()
        && same_type(ours, theirs)
        && same_dictionary(ours, theirs)
        && children.0.map_or(0, |list| list.len()) == children.1.map_or(0, |list| list.len())
        && children.0.into_iter().flatten().zip(children.1.into_iter().flatten()).all(|(a, b)| same_field(&a, &b))
}

/// The types that standard tables use; any other differs.
fn same_type(ours: &Field<'_>, theirs: &Field<'_>) -> bool {
    if ours.type_type() != theirs.type_type() {
        return false;
    }
    match ours.type_type() {
        Type::Utf8 | Type::Binary | Type::Bool | Type::List | Type::Struct_ => true,
        Type::Int => both(ours.type_as_int(), theirs.type_as_int(), |int| (int.bitWidth(), int.is_signed())),
        Type::FloatingPoint => {
            both(ours.type_as_floating_point(), theirs.type_as_floating_point(), arrow_ipc::FloatingPoint::precision)
        }
        Type::Timestamp => both(ours.type_as_timestamp(), theirs.type_as_timestamp(), |time| {
            (time.unit(), time.timezone().map(str::to_owned))
        }),
        Type::FixedSizeBinary => both(
            ours.type_as_fixed_size_binary(),
            theirs.type_as_fixed_size_binary(),
            arrow_ipc::FixedSizeBinary::byteWidth,
        ),
        Type::Map => both(ours.type_as_map(), theirs.type_as_map(), arrow_ipc::Map::keysSorted),
        _ => false,
    }
}

fn same_dictionary(ours: &Field<'_>, theirs: &Field<'_>) -> bool {
    match (ours.dictionary(), theirs.dictionary()) {
        (None, None) => true,
        (Some(ours), Some(theirs)) => {
            ours.id() == theirs.id()
                && both(ours.indexType(), theirs.indexType(), |int| (int.bitWidth(), int.is_signed()))
        }
        _ => false,
    }
}

fn both<T, K: PartialEq>(ours: Option<T>, theirs: Option<T>, key: impl Fn(&T) -> K) -> bool {
    matches!((ours, theirs), (Some(ours), Some(theirs)) if key(&ours) == key(&theirs))
}
