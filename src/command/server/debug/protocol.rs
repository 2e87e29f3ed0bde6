//! DEBUG PROTOCOL: a value of each type of the protocol, with which clients test their parsers.

use crate::command::call::Call;
use crate::command::errors::Error;
use crate::resp::reply::Proto;

pub fn protocol(call: &mut Call<'_, '_>) -> Result<(), Error> {
    let name = call.args.take()?.to_ascii_lowercase();
    let is_resp3 = call.out.proto() == Proto::Resp3;
    let out = &mut *call.out;
    match name.as_slice() {
        b"string" => out.text("Hello World"),
        b"integer" => out.integer(12345),
        b"double" => out.double_text(b"3.141"),
        b"bignum" => out.big_number(b"1234567999999999999999999999999999999"),
        b"null" => out.null(),
        b"array" | b"set" => {
            if name == b"array" {
                out.array(3)
            } else {
                out.set(3)
            }
            (0..3).for_each(|n| out.integer(n));
        }
        b"map" => {
            out.map(3);
            for n in 0..3 {
                out.integer(n);
                out.boolean(n == 1);
            }
        }
        b"attrib" => {
            if is_resp3 {
                out.attribute(1);
                out.text("key-popularity");
                out.array(2);
                out.text("key:123");
                out.integer(90);
            }
            // An attribute stands before a reply, never alone.
            out.text("Some real reply following the attribute");
        }
        b"push" => {
            if !is_resp3 {
                return Err(Error::line("ERR RESP2 is not supported by this command"));
            }
            out.push(2);
            out.text("server-cpu-usage");
            out.integer(42);
            // A push is not the reply: clients that pass over it wait for one.
            out.text("Some real reply following the push reply");
        }
        b"verbatim" => out.verbatim("txt", b"This is a verbatim\nstring"),
        b"true" => out.boolean(true),
        b"false" => out.boolean(false),
        _ => {
            return Err(Error::line(
                "ERR Wrong protocol type name. Please use one of the following: \
                 string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
            ));
        }
    }
    Ok(())
}
