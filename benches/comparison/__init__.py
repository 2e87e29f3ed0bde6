"""The parts of `benches/compare.py`: servers and load below, one module for each section of the table above.

context   what every section is given: the two servers to start, the load generator, rounds and lengths
server    one server process: start, stop, ask, read its CPU time and memory
load      the load generator and redis-benchmark as functions
table     values, targets, verdicts, Markdown
machine   the line that says where it ran
peer      where the other server comes from
throughput, latency, memory, connections, expiry, scripts, …   the sections
"""
