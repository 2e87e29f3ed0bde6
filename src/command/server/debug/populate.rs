//! DEBUG POPULATE: many keys at once.

use super::with_key;
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::keyspace::view::Mode;
use crate::keyspace::{Deadline, Value};
use crate::types::number;

pub fn populate(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let count = positive(call.args.take()?)?;
    let prefix = if call.args.is_done() { b"key".as_slice() } else { call.args.take()? };
    let size = if call.args.is_done() { 0 } else { positive(call.args.take()?)? };
    if size > call.server.config.proto_max_bulk_len() as usize {
        return Err(Error::StringTooLong);
    }
    for number in 0..count {
        let key = [prefix, format!(":{number}").as_bytes()].concat();
        let mut value = format!("value:{number}").into_bytes();
        if size > 0 {
            value.resize(size, 0);
        }
        with_key(call, &key, Mode::Exclusive, |view| {
            if view.peek(&key).is_none() {
                view.set(&key, Value::Bytes(&value), Deadline::Clear);
            }
        });
    }
    call.out.ok();
    Ok(())
}

fn positive(text: &[u8]) -> Result<usize, Error> {
    let number = number::parse_i64(text).ok_or(Error::NotInteger)?;
    usize::try_from(number).map_err(|_| Error::OutOfRangePositive)
}
