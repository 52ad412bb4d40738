/* One line per tests/unit/test_NAME.c; main.c runs them all. */
#ifndef UNIT_SUITES_H
#define UNIT_SUITES_H

#include <check.h>

/* clang-format off */
#define SUITES(X) \
    X(address) \
    X(arena) \
    X(breaker) \
    X(buf) \
    X(call) \
    X(config) \
    X(db) \
    X(decisions) \
    X(http) \
    X(instant) \
    X(json) \
    X(llm) \
    X(log) \
    X(loop) \
    X(markdown) \
    X(page) \
    X(prices) \
    X(prompt) \
    X(providers) \
    X(rate) \
    X(record) \
    X(redact) \
    X(request) \
    X(retry) \
    X(sample) \
    X(sha256) \
    X(spool) \
    X(store) \
    X(utf8) \
    X(uuid) \
    X(word)
/* clang-format on */

#define SUITE_DECLARE(name) Suite *suite_##name(void);
SUITES(SUITE_DECLARE)

#endif
