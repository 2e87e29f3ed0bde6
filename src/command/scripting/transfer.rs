//! FUNCTION DUMP and RESTORE: all libraries as one value in Redis's serialised form.

use super::worker::Worker;
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::help;
use crate::rdb::source::{Slice, Source};
use crate::rdb::write::Writer;
use crate::rdb::{payload, read};
use crate::script::library::{Libraries, Library};
use std::sync::Arc;

/// What stands before each library.
const LIBRARY: u8 = 245;
/// What stood there before Redis 7.0 was finished.
const LIBRARY_BEFORE_7: u8 = 246;

pub fn dump(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let mut writer = Writer { out: Vec::new(), compress: call.server.config.rdbcompression() };
    for library in call.server.scripting.functions.current().iter() {
        writer.byte(LIBRARY);
        writer.string(&library.text);
    }
    call.out.bulk(&payload::seal(writer.out, payload::VERSION));
    Ok(())
}

/// What becomes of the libraries that there are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Policy {
    Append,
    Replace,
    Flush,
}

pub fn restore(call: &mut Call<'_, '_>) -> Result<(), Error> {
    if call.args.left() > 2 {
        return Err(help::syntax_error(call));
    }
    let sealed = call.args.take()?;
    let policy = match call.args.peek() {
        None => Policy::Append,
        Some(_) if call.args.skip_word("append") => Policy::Append,
        Some(_) if call.args.skip_word("replace") => Policy::Replace,
        Some(_) if call.args.skip_word("flush") => Policy::Flush,
        Some(_) => {
            return Err(Error::line(
                "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.",
            ));
        }
    };
    let body =
        payload::open(sealed, false).ok_or(Error::line("ERR DUMP payload version or checksum are wrong"))?;
    Worker::with(|worker| {
        worker.refresh_functions(call.server);
        let mut restored = Libraries::default();
        let result = load_all(worker, body, &mut restored).and_then(|()| {
            call.server.scripting.functions.change(|libraries| match policy {
                Policy::Flush => {
                    *libraries = restored.clone();
                    Ok(())
                }
                Policy::Append | Policy::Replace => libraries
                    .join(&restored, policy == Policy::Replace)
                    .map_err(|message| Error::Echo([b"ERR ", message.as_slice()].concat())),
            })
        });
        if result.is_err() {
            restored.iter().for_each(|library| worker.give_up_library(library.id));
        }
        result
    })?;
    call.keys.changed(1);
    call.out.ok();
    Ok(())
}

fn load_all(worker: &mut Worker, body: &[u8], restored: &mut Libraries) -> Result<(), Error> {
    let broken = Error::line("ERR failed loading the given functions payload");
    let mut source = Slice::new(body);
    while !source.is_done() {
        match source.byte() {
            Ok(LIBRARY) => {}
            Ok(LIBRARY_BEFORE_7) => return Err(Error::line("ERR Pre-GA function format not supported")),
            Ok(_) => return Err(Error::line("ERR given type is not a function")),
            Err(_) => return Err(Error::line("ERR can not read data type")),
        }
        let text = read::string(&mut source).map_err(|_| broken.clone())?;
        let refused = |message: Vec<u8>| Error::Echo([b"ERR ", message.as_slice()].concat());
        let mut library = Library::parse(&text).map_err(refused)?;
        worker.load_new(&mut library)?;
        let id = library.id;
        if let Err(message) = restored.add(Arc::new(library), false) {
            worker.give_up_library(id);
            return Err(refused(message));
        }
    }
    Ok(())
}
