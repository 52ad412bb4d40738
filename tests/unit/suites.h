/* One line per tests/unit/test_NAME.c; main.c runs them all. */
#ifndef UNIT_SUITES_H
#define UNIT_SUITES_H

#include <check.h>

#define SUITES(X) X(arena) X(buf) X(config) X(json) X(redact) X(utf8) X(llm) X(sample)

#define SUITE_DECLARE(name) Suite *suite_##name(void);
SUITES(SUITE_DECLARE)

#endif
