# shellcheck shell=bash
# packages: what Debian has to give, in the form of scripts/install-packages.

RUN_PACKAGES=(
	make gcc libc6-dev=/usr/include/stdio.h pkg-config
	libfcgi-dev=/usr/include/fcgiapp.h libpq-dev=/usr/include/postgresql/libpq-fe.h
	libjson-c-dev=/usr/include/json-c/json.h libcurl4-openssl-dev=curl-config libssl-dev=/usr/include/openssl/evp.h
	postgresql-15=/usr/lib/postgresql/15/bin/postgres nginx spawn-fcgi multiwatch
	curl openssl ca-certificates=/etc/ssl/certs/ca-certificates.crt
)

# Only to fuzz.
# shellcheck disable=SC2034 # read by scripts/fuzz
FUZZ_PACKAGES=(clang-14 llvm-14=llvm-cov-14 libclang-rt-14-dev=/usr/lib/llvm-14/lib/clang/14.0.6/lib/linux)
