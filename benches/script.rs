//! What a script costs: entering it, its arguments, the commands it calls and their replies, the libraries.

use criterion::{Criterion, criterion_group, criterion_main};
use nuthatch::resp::reply::{Proto, Reply};
use nuthatch::resp::scan::{Request, Span};
use nuthatch::script::{Arguments, Caller, End, Failure, Interpreter, Purpose, Refusal, Verdict};
use std::hint::black_box;

/// A server that answers every command in the same way at no cost.
struct Constant(fn(&mut Reply));

impl Caller for Constant {
    fn call(&mut self, request: Request<'_>, reply: &mut Reply) -> Result<(), Refusal> {
        black_box(request.len());
        (self.0)(reply);
        Ok(())
    }

    fn may_run(&mut self, _: Request<'_>) -> Option<bool> {
        Some(true)
    }

    fn set_replication(&mut self, _: bool, _: bool) {}

    fn check(&mut self) -> Verdict {
        Verdict::GoOn
    }

    fn failed(&mut self, _: &Failure) {}
}

/// What it is called, the script, and how each of its commands is answered.
type Case = (&'static str, &'static str, fn(&mut Reply));

fn script(c: &mut Criterion) {
    let cases: [Case; 7] = [
        ("nothing", "return 1", Reply::ok),
        ("a call with two arguments", "return redis.call('GET', KEYS[1])", |reply| reply.bulk(b"value")),
        (
            "a limiter",
            "local n = redis.call('INCR', KEYS[1]) if n == 1 then redis.call('EXPIRE', KEYS[1], 60) end return n",
            |reply| reply.integer(1),
        ),
        ("100 calls", "for i = 1, 100 do redis.call('INCR', KEYS[1]) end", |reply| reply.integer(1)),
        ("a reply of 100 items", "return #redis.call('LRANGE', KEYS[1], 0, -1)", |reply| {
            reply.array(100);
            (0..100).for_each(|_| reply.bulk(b"an item of the list"));
        }),
        ("a result of 100 items", "local t = {} for i = 1, 100 do t[i] = 'item' end return t", Reply::ok),
        (
            "JSON there and back",
            "return cjson.encode(cjson.decode('{\"id\":7,\"name\":\"x\",\"tags\":[1,2,3],\"nested\":{\"a\":true}}'))",
            Reply::ok,
        ),
    ];
    let text = b"key12";
    let spans = [Span::Buffered { start: 0, len: 3 }, Span::Buffered { start: 3, len: 1 }];
    let request = Request::new(text, &[], &spans);
    let mut group = c.benchmark_group("script");
    for (name, code, reply) in cases {
        let mut interpreter = Interpreter::new(Purpose::Eval);
        let function = interpreter.compile(code.as_bytes(), c"@user_script").expect("a script");
        let what = Arguments { name: "bench", function, keys: request.part(0..1), args: request.tail(1) };
        let mut out = Reply::new(Proto::Resp2);
        group.bench_function(name, |b| {
            b.iter(|| {
                out.clear(1 << 16);
                let end = interpreter.run(&what, &mut Constant(reply), &mut out);
                assert!(matches!(end, End::Done));
            })
        });
    }
    group.finish();
}

criterion_group!(benches, script);
criterion_main!(benches);
