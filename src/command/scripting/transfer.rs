//! FUNCTION DUMP and RESTORE: all libraries as one value in Redis's serialised form.

use super::worker::Worker;
use crate::command::call::Call;
use crate::command::errors::Error;
use crate::command::help;
use crate::rdb::source::{Slice, Source};
use crate::rdb::write::Writer;
use crate::rdb::{payload, read};
use crate::script::library::{Libraries, Library};
use crate::state::Server;
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
                Policy::Append | Policy::Replace => {
                    libraries.join(&restored, policy == Policy::Replace).map_err(refused)
                }
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

/// Adds libraries that come from a snapshot. Those that are there already are faults, unless they are to be replaced.
///
/// # Errors
/// What is wrong with one; then none is added.
pub fn add_libraries(server: &Server, texts: &[Vec<u8>], replace: bool) -> Result<(), Error> {
    if texts.is_empty() {
        return Ok(());
    }
    Worker::with(|worker| {
        worker.refresh_functions(server);
        let mut added = Libraries::default();
        let result = texts.iter().try_for_each(|text| load_one(worker, text, &mut added)).and_then(|()| {
            server.scripting.functions.change(|libraries| libraries.join(&added, replace).map_err(refused))
        });
        if result.is_err() {
            added.iter().for_each(|library| worker.give_up_library(library.id));
        }
        result
    })
}

/// Removes all libraries.
pub fn forget_libraries(server: &Server) {
    let forgotten = server.scripting.functions.change(|libraries| {
        *libraries = Libraries::default();
        Ok::<(), std::convert::Infallible>(())
    });
    let Ok(()) = forgotten;
}

fn refused(message: Vec<u8>) -> Error {
    Error::Echo([b"ERR ", message.as_slice()].concat())
}

fn load_one(worker: &mut Worker, text: &[u8], restored: &mut Libraries) -> Result<(), Error> {
    let mut library = Library::parse(text).map_err(refused)?;
    worker.load_new(&mut library)?;
    let id = library.id;
    restored.add(Arc::new(library), false).map_err(|message| {
        worker.give_up_library(id);
        refused(message)
    })
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
        load_one(worker, &text, restored)?;
    }
    Ok(())
}
