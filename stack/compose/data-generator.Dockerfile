# The data generator alone, as an ordinary user.
ARG RUST
ARG DEBIAN
FROM rust:${RUST} AS build
WORKDIR /project
COPY . .
RUN cargo build --release --locked --package data-generator

FROM debian:${DEBIAN}
RUN useradd --uid 1000 --create-home generator
COPY --from=build /project/target/release/data-generator /usr/local/bin/data-generator
USER generator
ENTRYPOINT ["data-generator"]
