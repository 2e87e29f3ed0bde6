# Nuthatch in an image of its own: built with Debian's C toolchain, run without a shell or a package manager.

FROM rust:1-slim-bookworm AS build
# jemalloc is C and built by make.
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
RUN cargo build --release --locked --bin nuthatch \
    && strip --strip-debug target/release/nuthatch \
    && mkdir /data

FROM gcr.io/distroless/cc-debian12
COPY --from=build /source/target/release/nuthatch /usr/local/bin/nuthatch
# 65532 is the image's user `nonroot`, by number so that Kubernetes can see that it is not root.
COPY --from=build --chown=65532:65532 /data /data
USER 65532:65532
WORKDIR /data
VOLUME /data
EXPOSE 6379
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/nuthatch"]
# To a server in a container every client is a stranger, whom protected mode would refuse. Arguments take the place
# of this.
CMD ["--protected-mode", "no"]
